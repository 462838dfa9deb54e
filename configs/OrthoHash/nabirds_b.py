# OrthoHash on NABirds-B:
#     python preprocess.py --config configs/OrthoHash/nabirds_b.py
#     python train.py --config configs/OrthoHash/nabirds_b.py
#     python eval.py --config configs/OrthoHash/nabirds_b.py
# Not run here. Published mAP@k, SHC paper (arXiv 2507.08404v1):
#     bits  @100 @1000  @all
#       16 0.272 0.186 0.140
#       32 0.342 0.249 0.207
#       64 0.350 0.254 0.217
_base_ = '../CSQ/nabirds_b.py'

method = 'ortho_hash'
model_name = 'OrthoHash'
