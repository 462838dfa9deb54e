# MambaHash on ImageNet-100:
#     python preprocess.py --config configs/MambaHash/imagenet.py
#     python train.py --config configs/MambaHash/imagenet.py
#     python eval.py --config configs/MambaHash/imagenet.py
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/mambahash.py', '../_base_/datasets/imagenet.py']
