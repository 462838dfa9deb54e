# SHC on CIFAR-10, training pictures in the database:
#     python preprocess.py --config configs/SHC/cifar10_1.py
#     python train.py --config configs/SHC/cifar10_1.py
#     python eval.py --config configs/SHC/cifar10_1.py
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/shc.py', '../_base_/datasets/cifar10_1.py']
