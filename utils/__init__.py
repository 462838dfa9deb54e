"""Configs, files, the registry and small helpers that know nothing of hashing."""
