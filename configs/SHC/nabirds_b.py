# SHC on NABirds-B:
#     python preprocess.py --config configs/SHC/nabirds_b.py
#     python train.py --config configs/SHC/nabirds_b.py
#     python eval.py --config configs/SHC/nabirds_b.py
# Not run here. Published mAP@k, SHC paper (arXiv 2507.08404v1):
#     bits  @100 @1000  @all
#       16 0.355 0.281 0.193
#       32 0.475 0.399 0.319
#       64 0.529 0.458 0.399
_base_ = ['../_base_/shc.py', '../_base_/datasets/nabirds_b.py']
