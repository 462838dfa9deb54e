# DPSH on CIFAR-10's test pictures (docs/pictures.md):
#     python preprocess.py --config configs/DPSH/cifar10_images.py
#     python train.py --config configs/DPSH/cifar10_images.py
#     python eval.py --config configs/DPSH/cifar10_images.py
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/cifar10_images.py'

method = 'dpsh'
model_name = 'DPSH'
