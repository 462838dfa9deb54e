"""Semantic hash centers: the solver, and measures of what it gives."""
