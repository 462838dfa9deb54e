# S5VH on the sample dataset, sized for two CPU cores:
#     python -m dataset.digits
#     python preprocess.py --config configs/S5VH/digits.py
#     python train.py --config configs/S5VH/digits.py
#     python eval.py --config configs/S5VH/digits.py --baselines
# Measured, three seeds (reproduce.py --table main), ties in expectation: mAP@5 .0503 at 16 bits, .0486 at 32, .0554 at 64.
_base_ = ['../_base_/s5vh.py', '../_base_/datasets/digits.py']

nbits = 16
hidden_size = 128
decoder_size = 96
S5VH_type = 'mini'
batch_size = 64
num_epochs = 25  # under four minutes on two cores even without a compiler, where the scan runs in PyTorch
warm_up_epoch = 8
lr = 2e-3
eval_every = 10

latent_dim_pca = 128
nclusters = 60
# Pixels lie in [0, 1] and are mostly black: their squared errors are some thirty times smaller than those of
# CNN features, and the other losses are weighed down to match.
alpha = 0.05
a_cluster = 0.0002
tau_plus = 0.05
