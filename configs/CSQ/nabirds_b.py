# CSQ on NABirds-B:
#     python preprocess.py --config configs/CSQ/nabirds_b.py
#     python train.py --config configs/CSQ/nabirds_b.py
#     python eval.py --config configs/CSQ/nabirds_b.py
# Not run here. Published mAP@k, SHC paper (arXiv 2507.08404v1):
#     bits  @100 @1000  @all
#       16 0.296 0.228 0.139
#       32 0.431 0.356 0.246
#       64 0.498 0.430 0.324
_base_ = ['../_base_/pictures.py', '../_base_/resnet34.py', '../_base_/datasets/nabirds_b.py']

method = 'csq'
model_name = 'CSQ'
