# S5VH on the smartwatch exercises, sized for two CPU cores:
#     pip install seglearn==1.2.5
#     python -m dataset.watch
#     python preprocess.py --config configs/S5VH/watch.py
#     python train.py --config configs/S5VH/watch.py
#     python eval.py --config configs/S5VH/watch.py --baselines
# Measured at 16 bits, three seeds, ties in expectation (reproduce.py --table winners): mAP@5 .5639 +- .0044, @20 .5065 +- .0098,
# @100 .3963 +- .0177; ties by index: mAP@5 .6120 +- .0236.
_base_ = ['../_base_/s5vh.py', '../_base_/datasets/watch.py']

nbits = 16
hidden_size = 128
decoder_size = 96
S5VH_type = 'mini'
batch_size = 64
num_epochs = 15  # of 25, one seed: mAP@5 .55 after 5, .56 after 10, .58 after 15 and after 25
warm_up_epoch = 5
lr = 2e-3
eval_every = 10

latent_dim_pca = 24  # F; the latents are of frame means
nclusters = 50
a_cluster = 0.01
tau_plus = 0.05
