# Pictures with labels, as image hashing trains and evaluates them.
_base_ = 'default.py'

nbits = 64
batch_size = 64
optimizer_name = 'RMSprop'
lr = 1e-4
min_lr = 0.0
weight_decay = 1e-5
num_epochs = 100
ap_normaliser = 'hits'
