# CSQ on CIFAR-10, all 50,000 training pictures:
#     python preprocess.py --config configs/CSQ/cifar10_2.py
#     python train.py --config configs/CSQ/cifar10_2.py
#     python eval.py --config configs/CSQ/cifar10_2.py
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/pictures.py', '../_base_/resnet34.py', '../_base_/datasets/cifar10_2.py']

method = 'csq'
model_name = 'CSQ'
