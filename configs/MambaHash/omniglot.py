# MambaHash on Omniglot (docs/pictures.md):
#     python preprocess.py --config configs/MambaHash/omniglot.py
#     python train.py --config configs/MambaHash/omniglot.py
#     python eval.py --config configs/MambaHash/omniglot.py
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/pictures.py', '../_base_/datasets/omniglot.py']

method = 'mambahash'
model_name = 'MambaHash'
mamba_size = 'tiny'
lr = 2e-4
