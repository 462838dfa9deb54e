# OrthoHash on CIFAR-100:
#     python preprocess.py --config configs/OrthoHash/cifar100.py
#     python train.py --config configs/OrthoHash/cifar100.py
#     python eval.py --config configs/OrthoHash/cifar100.py
# Not run here. Published mAP@k, SHC paper (arXiv 2507.08404v1):
#     bits  @100 @1000  @all
#       16 0.571 0.487 0.381
#       32 0.587 0.495 0.395
#       64 0.587 0.503 0.406
_base_ = '../CSQ/cifar100.py'

method = 'ortho_hash'
model_name = 'OrthoHash'
