# SHC on CIFAR-10, training pictures in the database.
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/shc.py', '../_base_/datasets/cifar10_1.py']
