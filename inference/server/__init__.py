"""The page of `search.py serve`, and its interface for programs. `gallery` knows nothing of HTTP."""
