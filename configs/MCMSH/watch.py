# MCMSH on the smartwatch exercises, sized for two CPU cores:
#     pip install seglearn==1.2.5
#     python -m dataset.watch
#     python preprocess.py --config configs/MCMSH/watch.py
#     python train.py --config configs/MCMSH/watch.py
#     python eval.py --config configs/MCMSH/watch.py --baselines
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/mcmsh.py', '../_base_/neighbor_pairs_small.py', '../_base_/datasets/watch.py']

num_epochs = 15
latent_dim_pca = 24
