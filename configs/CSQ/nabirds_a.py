# CSQ on NABirds-A:
#     python preprocess.py --config configs/CSQ/nabirds_a.py
#     python train.py --config configs/CSQ/nabirds_a.py
#     python eval.py --config configs/CSQ/nabirds_a.py
# Not run here. Published mAP@k, SHC paper (arXiv 2507.08404v1):
#     bits  @100 @1000  @all
#       16 0.454 0.443 0.431
#       32 0.570 0.563 0.553
#       64 0.624 0.621 0.615
_base_ = ['../_base_/pictures.py', '../_base_/resnet34.py', '../_base_/datasets/nabirds_a.py']

method = 'csq'
model_name = 'CSQ'
