# OrthoHash on CIFAR-10.
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/cifar10.py'

method = 'ortho_hash'
model_name = 'OrthoHash'
