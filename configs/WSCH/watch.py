# WSCH on the smartwatch exercises, sized for two CPU cores:
#     pip install seglearn==1.2.5
#     python -m dataset.watch
#     python train.py --config configs/WSCH/watch.py
#     python eval.py --config configs/WSCH/watch.py --baselines
# The paper has nothing on this set.
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/wsch.py', '../_base_/datasets/watch.py']

nbits = 16
hidden_size = 128
decoder_size = 96
batch_size = 64
nclusters = 50
pretrain_epochs = 5
num_epochs = 15
seed = 1
eval_every = 10
lr = 1e-3
