# CSQ on CIFAR-100:
#     python preprocess.py --config configs/CSQ/cifar100.py
#     python train.py --config configs/CSQ/cifar100.py
#     python eval.py --config configs/CSQ/cifar100.py
# Not run here. Published mAP@k, SHC paper (arXiv 2507.08404v1):
#     bits  @100 @1000  @all
#       16 0.612 0.569 0.427
#       32 0.656 0.611 0.487
#       64 0.662 0.612 0.518
_base_ = ['../_base_/pictures.py', '../_base_/resnet34.py', '../_base_/datasets/cifar100.py']

method = 'csq'
model_name = 'CSQ'
