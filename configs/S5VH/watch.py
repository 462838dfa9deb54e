# S5VH on the smartwatch exercises, sized for two CPU cores:
#     pip install seglearn==1.2.5
#     python -m dataset.watch
#     python preprocess.py --config configs/S5VH/watch.py
#     python train.py --config configs/S5VH/watch.py
#     python eval.py --config configs/S5VH/watch.py --baselines
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/s5vh.py', '../_base_/datasets/watch.py']

nbits = 16
hidden_size = 128
decoder_size = 96
S5VH_type = 'mini'
batch_size = 64
num_epochs = 15  # beyond ten, its mAP no longer moves by more than a seed does
warm_up_epoch = 5
lr = 2e-3
eval_every = 10

latent_dim_pca = 24  # F; the latents are of frame means
nclusters = 50
a_cluster = 0.01
tau_plus = 0.05
