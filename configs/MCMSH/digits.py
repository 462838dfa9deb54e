# MCMSH on the sample dataset, sized for two CPU cores:
#     python -m dataset.digits
#     python preprocess.py --config configs/MCMSH/digits.py
#     python train.py --config configs/MCMSH/digits.py
#     python eval.py --config configs/MCMSH/digits.py --baselines
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/mcmsh.py', '../_base_/neighbor_pairs_small.py', '../_base_/datasets/digits.py']

num_epochs = 25
latent_dim_pca = 128
