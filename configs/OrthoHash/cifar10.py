# OrthoHash on CIFAR-10:
#     python preprocess.py --config configs/OrthoHash/cifar10.py
#     python train.py --config configs/OrthoHash/cifar10.py
#     python eval.py --config configs/OrthoHash/cifar10.py
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/cifar10.py'

method = 'ortho_hash'
model_name = 'OrthoHash'
