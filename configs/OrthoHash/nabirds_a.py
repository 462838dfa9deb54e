# OrthoHash on NABirds-A:
#     python preprocess.py --config configs/OrthoHash/nabirds_a.py
#     python train.py --config configs/OrthoHash/nabirds_a.py
#     python eval.py --config configs/OrthoHash/nabirds_a.py
# Not run here. Published mAP@k, SHC paper (arXiv 2507.08404v1):
#     bits  @100 @1000  @all
#       16 0.458 0.421 0.412
#       32 0.515 0.478 0.470
#       64 0.524 0.484 0.475
_base_ = '../CSQ/nabirds_a.py'

method = 'ortho_hash'
model_name = 'OrthoHash'
