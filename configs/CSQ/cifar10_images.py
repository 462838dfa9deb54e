# CSQ on CIFAR-10's test pictures (docs/pictures.md):
#     python preprocess.py --config configs/CSQ/cifar10_images.py
#     python train.py --config configs/CSQ/cifar10_images.py
#     python eval.py --config configs/CSQ/cifar10_images.py
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/pictures.py', '../_base_/datasets/cifar10_images.py']

method = 'csq'
model_name = 'CSQ'
