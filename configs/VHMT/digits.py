# VHMT on the sample dataset, sized for two CPU cores:
#     python -m dataset.digits
#     python preprocess.py --config configs/VHMT/digits.py
#     python train.py --config configs/VHMT/digits.py
#     python eval.py --config configs/VHMT/digits.py --baselines
# The student, the epochs and the learning rate are those of configs/S5VH/digits.py. What follows is by distill_spacing = 'even'.
# Measured, 64 bits, three seeds (reproduce.py --table vhmt), ties in expectation: mAP@5 .0450; without its teacher .0515, S5VH .0554.
_base_ = ['../_base_/vhmt.py', '../_base_/datasets/digits.py']

nbits = 16
hidden_size = 128
decoder_size = 96
student_depth = 1
teacher_depths = [1, 1, 1]
teacher_dropout = 0.0
batch_size = 64
num_epochs = 25
schedule = 'CosineAnnealingLR'  # 25 epochs are too few for the paper's steps
lr = 2e-3
min_lr = 1e-5
eval_every = 10

latent_dim_pca = 128
nanchors = 100
ap_normaliser = 'k'  # as in configs/S5VH/digits.py, to compare with
# Pixels lie in [0, 1] and are mostly black: their squared errors are some thirty times smaller than those of
# CNN features, and the other losses are weighed down to match.
alpha = 0.05
structure_weight = 0.0005
distill_attention = 0.005
tau_plus = 0.05
