# MambaHash on CIFAR-10:
#     python preprocess.py --config configs/MambaHash/cifar10.py
#     python train.py --config configs/MambaHash/cifar10.py
#     python eval.py --config configs/MambaHash/cifar10.py
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/mambahash.py', '../_base_/datasets/cifar10.py']
