# CSQ on CIFAR-10:
#     python preprocess.py --config configs/CSQ/cifar10.py
#     python train.py --config configs/CSQ/cifar10.py
#     python eval.py --config configs/CSQ/cifar10.py
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/pictures.py', '../_base_/resnet34.py', '../_base_/datasets/cifar10.py']

method = 'csq'
model_name = 'CSQ'
