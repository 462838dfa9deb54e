# CSQ on MS-COCO.
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/pictures.py', '../_base_/resnet34.py', '../_base_/datasets/coco.py']

method = 'csq'
model_name = 'CSQ'
