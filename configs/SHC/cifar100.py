# SHC on CIFAR-100:
#     python preprocess.py --config configs/SHC/cifar100.py
#     python train.py --config configs/SHC/cifar100.py
#     python eval.py --config configs/SHC/cifar100.py
# Not run here. Published mAP@k, SHC paper (arXiv 2507.08404v1):
#     bits  @100 @1000  @all
#       16 0.636 0.594 0.484
#       32 0.663 0.617 0.519
#       64 0.667 0.617 0.526
_base_ = ['../_base_/shc.py', '../_base_/datasets/cifar100.py']

lr = similarity_lr = 7e-5
