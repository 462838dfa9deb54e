# CSQ on ImageNet-100:
#     python preprocess.py --config configs/CSQ/imagenet.py
#     python train.py --config configs/CSQ/imagenet.py
#     python eval.py --config configs/CSQ/imagenet.py
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/pictures.py', '../_base_/resnet34.py', '../_base_/datasets/imagenet.py']

method = 'csq'
model_name = 'CSQ'
