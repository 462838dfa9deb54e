# SHC on ImageNet-100:
#     python preprocess.py --config configs/SHC/imagenet.py
#     python train.py --config configs/SHC/imagenet.py
#     python eval.py --config configs/SHC/imagenet.py
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/shc.py', '../_base_/datasets/imagenet.py']
