# DKPH, as all its datasets share it: the settings of its program, which is for FCVID alone.
_base_ = 'neighbor_pairs.py'

method = 'dkph'
num_epochs = 49
