# WSCH on the sample dataset, sized for two CPU cores:
#     python -m dataset.digits
#     python train.py --config configs/WSCH/digits.py
#     python eval.py --config configs/WSCH/digits.py --baselines
# The paper has nothing on this set.
# Measured at 16 bits, one seed (reproduce.py --table methods --datasets digits --bits 16 --seeds 1), ties in expectation: mAP@5 .0600,
# before any training .0252; S5VH, in as many epochs, .0565 and .0095.
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
