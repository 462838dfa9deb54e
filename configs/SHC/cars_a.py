# SHC on Stanford Cars-A:
#     python preprocess.py --config configs/SHC/cars_a.py
#     python train.py --config configs/SHC/cars_a.py
#     python eval.py --config configs/SHC/cars_a.py
# Not run here. Published mAP@k, SHC paper (arXiv 2507.08404v1):
#     bits  @100 @1000  @all
#       16 0.667 0.652 0.643
#       32 0.745 0.738 0.730
#       64 0.778 0.776 0.772
_base_ = ['../_base_/shc.py', '../_base_/datasets/cars_a.py']
