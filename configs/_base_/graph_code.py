# GraphCode, as all its datasets share it (docs/graph_code.md). It is fitted in closed form: nothing else is set.
_base_ = 'default.py'

method = 'graph_code'
nbits = 64
