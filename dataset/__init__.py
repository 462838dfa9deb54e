"""Validated readers, the query/database protocol, frame-mask views, batch sources and the sample dataset."""
