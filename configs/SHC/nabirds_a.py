# SHC on NABirds-A.
# Not run here. Published mAP@k, SHC paper (arXiv 2507.08404v1):
#     bits  @100 @1000  @all
#       16 0.499 0.488 0.475
#       32 0.612 0.607 0.600
#       64 0.659 0.661 0.657
_base_ = ['../_base_/shc.py', '../_base_/datasets/nabirds_a.py']
