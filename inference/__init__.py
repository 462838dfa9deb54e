"""Codes, Hamming ranking, retrieval metrics, shallow baselines and the report. Knows no model."""
