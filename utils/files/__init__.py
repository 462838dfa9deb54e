"""Files: written whole or not at all, locked, and checked before they are read."""
