# WSCH, as all its datasets share it: what is released of it, for ActivityNet at 64 bits (docs/field.md).
_base_ = 'masked.py'

method = 'wsch'
hidden_size = 1024
decoder_size = 1024
pretrain_epochs = 100
num_epochs = 700  # passes over the videos: 100 of phase one, then 300 times one of clusters and one of contrast
pretrain_mask_ratio = 0.9
mask_ratio = 0.6
nclusters = 800
a_cluster = 0.02
temperature_cluster = 0.2
alpha = 1.0
tau_plus = 0.1
schedule = 'constant'
seed = 3346
