"""How any table is made: its cells, the scripts that train them, what is measured beside, and the report."""
