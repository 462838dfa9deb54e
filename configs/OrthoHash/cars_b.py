# OrthoHash on Stanford Cars-B:
#     python preprocess.py --config configs/OrthoHash/cars_b.py
#     python train.py --config configs/OrthoHash/cars_b.py
#     python eval.py --config configs/OrthoHash/cars_b.py
# Not run here. Published mAP@k, SHC paper (arXiv 2507.08404v1):
#     bits  @100 @1000  @all
#       16 0.276 0.191 0.157
#       32 0.389 0.288 0.254
#       64 0.450 0.343 0.315
_base_ = '../CSQ/cars_b.py'

method = 'ortho_hash'
model_name = 'OrthoHash'
