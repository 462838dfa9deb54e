# OrthoHash on CIFAR-10's test pictures (docs/pictures.md).
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/cifar10_images.py'

method = 'ortho_hash'
model_name = 'OrthoHash'
