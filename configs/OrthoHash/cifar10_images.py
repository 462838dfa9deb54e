# OrthoHash on CIFAR-10's test pictures (docs/pictures.md):
#     python preprocess.py --config configs/OrthoHash/cifar10_images.py
#     python train.py --config configs/OrthoHash/cifar10_images.py
#     python eval.py --config configs/OrthoHash/cifar10_images.py
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/cifar10_images.py'

method = 'ortho_hash'
model_name = 'OrthoHash'
