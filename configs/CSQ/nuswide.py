# CSQ on NUS-WIDE.
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/pictures.py', '../_base_/resnet34.py', '../_base_/datasets/nuswide.py']

method = 'csq'
model_name = 'CSQ'
