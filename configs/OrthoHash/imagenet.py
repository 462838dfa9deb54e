# OrthoHash on ImageNet-100:
#     python preprocess.py --config configs/OrthoHash/imagenet.py
#     python train.py --config configs/OrthoHash/imagenet.py
#     python eval.py --config configs/OrthoHash/imagenet.py
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/imagenet.py'

method = 'ortho_hash'
model_name = 'OrthoHash'
