# SHC on NABirds-A:
#     python preprocess.py --config configs/SHC/nabirds_a.py
#     python train.py --config configs/SHC/nabirds_a.py
#     python eval.py --config configs/SHC/nabirds_a.py
# Not run here. Published mAP@k, SHC paper (arXiv 2507.08404v1):
#     bits  @100 @1000  @all
#       16 0.499 0.488 0.475
#       32 0.612 0.607 0.600
#       64 0.659 0.661 0.657
_base_ = ['../_base_/shc.py', '../_base_/datasets/nabirds_a.py']
