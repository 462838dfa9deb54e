# SHC on CIFAR-10, all 50,000 training pictures:
#     python preprocess.py --config configs/SHC/cifar10_2.py
#     python train.py --config configs/SHC/cifar10_2.py
#     python eval.py --config configs/SHC/cifar10_2.py
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/shc.py', '../_base_/datasets/cifar10_2.py']
