# DPSH on CIFAR-10's test pictures (docs/pictures.md).
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/cifar10_images.py'

method = 'dpsh'
model_name = 'DPSH'
