# SHC on CIFAR-10, all 50,000 training pictures.
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/shc.py', '../_base_/datasets/cifar10_2.py']
