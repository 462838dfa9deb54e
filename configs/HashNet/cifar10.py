# HashNet on CIFAR-10:
#     python preprocess.py --config configs/HashNet/cifar10.py
#     python train.py --config configs/HashNet/cifar10.py
#     python eval.py --config configs/HashNet/cifar10.py
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/cifar10.py'

method = 'hashnet'
model_name = 'HashNet'
