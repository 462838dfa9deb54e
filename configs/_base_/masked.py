# What methods over two masked views share of their papers.
_base_ = 'default.py'

nbits = 64
mask_ratio = 0.5
temperature = 0.5

optimizer_name = 'Adam'
schedule = 'StepLR'  # times .9 every 20 epochs
lr = 1e-4
min_lr = 1e-5
weight_decay = 0.0
batch_size = 128
