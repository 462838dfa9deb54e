# DPSH on CIFAR-10:
#     python preprocess.py --config configs/DPSH/cifar10.py
#     python train.py --config configs/DPSH/cifar10.py
#     python eval.py --config configs/DPSH/cifar10.py
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/cifar10.py'

method = 'dpsh'
model_name = 'DPSH'
