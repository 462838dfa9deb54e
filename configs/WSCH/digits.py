# WSCH on the sample dataset, sized for two CPU cores:
#     python -m dataset.digits
#     python train.py --config configs/WSCH/digits.py
#     python eval.py --config configs/WSCH/digits.py --baselines
# The paper has nothing on this set.
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/wsch.py', '../_base_/datasets/digits.py']

nbits = 16
hidden_size = 128
decoder_size = 96
batch_size = 64
nclusters = 60
pretrain_epochs = 9
num_epochs = 25
seed = 1
eval_every = 10
lr = 1e-3
