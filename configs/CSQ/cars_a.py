# CSQ on Stanford Cars-A:
#     python preprocess.py --config configs/CSQ/cars_a.py
#     python train.py --config configs/CSQ/cars_a.py
#     python eval.py --config configs/CSQ/cars_a.py
# Not run here. Published mAP@k, SHC paper (arXiv 2507.08404v1):
#     bits  @100 @1000  @all
#       16 0.540 0.520 0.509
#       32 0.683 0.674 0.665
#       64 0.734 0.730 0.723
_base_ = ['../_base_/pictures.py', '../_base_/resnet34.py', '../_base_/datasets/cars_a.py']

method = 'csq'
model_name = 'CSQ'
