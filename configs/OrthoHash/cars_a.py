# OrthoHash on Stanford Cars-A:
#     python preprocess.py --config configs/OrthoHash/cars_a.py
#     python train.py --config configs/OrthoHash/cars_a.py
#     python eval.py --config configs/OrthoHash/cars_a.py
# Not run here. Published mAP@k, SHC paper (arXiv 2507.08404v1):
#     bits  @100 @1000  @all
#       16 0.482 0.433 0.422
#       32 0.573 0.524 0.515
#       64 0.606 0.556 0.549
_base_ = '../CSQ/cars_a.py'

method = 'ortho_hash'
model_name = 'OrthoHash'
