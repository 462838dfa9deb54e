# OrthoHash on NUS-WIDE:
#     python preprocess.py --config configs/OrthoHash/nuswide.py
#     python train.py --config configs/OrthoHash/nuswide.py
#     python eval.py --config configs/OrthoHash/nuswide.py
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/nuswide.py'

method = 'ortho_hash'
model_name = 'OrthoHash'
