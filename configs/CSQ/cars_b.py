# CSQ on Stanford Cars-B:
#     python preprocess.py --config configs/CSQ/cars_b.py
#     python train.py --config configs/CSQ/cars_b.py
#     python eval.py --config configs/CSQ/cars_b.py
# Not run here. Published mAP@k, SHC paper (arXiv 2507.08404v1):
#     bits  @100 @1000  @all
#       16 0.322 0.241 0.178
#       32 0.489 0.403 0.330
#       64 0.585 0.506 0.446
_base_ = ['../_base_/pictures.py', '../_base_/resnet34.py', '../_base_/datasets/cars_b.py']

method = 'csq'
model_name = 'CSQ'
