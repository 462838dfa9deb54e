# DPSH on ImageNet-100.
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/imagenet.py'

method = 'dpsh'
model_name = 'DPSH'
