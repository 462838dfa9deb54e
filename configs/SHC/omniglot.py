# SHC on Omniglot (docs/pictures.md):
#     python preprocess.py --config configs/SHC/omniglot.py
#     python train.py --config configs/SHC/omniglot.py
#     python eval.py --config configs/SHC/omniglot.py
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/pictures.py', '../_base_/datasets/omniglot.py']

method = 'shc'
model_name = 'SHC'
similarity_epochs = 10
similarity_lr = 1e-3
