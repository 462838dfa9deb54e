# SHC on CIFAR-10:
#     python preprocess.py --config configs/SHC/cifar10.py
#     python train.py --config configs/SHC/cifar10.py
#     python eval.py --config configs/SHC/cifar10.py
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/shc.py', '../_base_/datasets/cifar10.py']
