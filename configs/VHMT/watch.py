# VHMT on the smartwatch exercises, sized for two CPU cores:
#     pip install seglearn==1.2.5
#     python -m dataset.watch
#     python preprocess.py --config configs/VHMT/watch.py
#     python train.py --config configs/VHMT/watch.py
#     python eval.py --config configs/VHMT/watch.py --baselines
# The student, the epochs and the learning rate are those of configs/S5VH/watch.py; the paper has nothing on this set.
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/vhmt.py', '../_base_/datasets/watch.py']

nbits = 16
hidden_size = 128
decoder_size = 96
student_depth = 1
teacher_depths = [1, 1, 1]
teacher_dropout = 0.0
batch_size = 64
num_epochs = 15
schedule = 'CosineAnnealingLR'  # 15 epochs are too few for the paper's steps
lr = 2e-3
min_lr = 1e-5
eval_every = 10

latent_dim_pca = 24
nanchors = 100
ap_normaliser = 'k'  # as in configs/S5VH/watch.py, to compare with
tau_plus = 0.05
