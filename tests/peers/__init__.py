"""Checks against the numbers of the authors' programs, a file a method; `tests/test_peer_parity.py` runs them."""
