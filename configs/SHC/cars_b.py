# SHC on Stanford Cars-B:
#     python preprocess.py --config configs/SHC/cars_b.py
#     python train.py --config configs/SHC/cars_b.py
#     python eval.py --config configs/SHC/cars_b.py
# Not run here. Published mAP@k, SHC paper (arXiv 2507.08404v1):
#     bits  @100 @1000  @all
#       16 0.444 0.354 0.298
#       32 0.586 0.503 0.455
#       64 0.629 0.557 0.514
_base_ = ['../_base_/shc.py', '../_base_/datasets/cars_b.py']
