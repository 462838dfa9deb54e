# HashNet on the sample pictures, sized for two CPU cores:
#     python -m dataset.digit_pictures
#     python preprocess.py --config configs/HashNet/digit_pictures.py
#     python train.py --config configs/HashNet/digit_pictures.py
#     python eval.py --config configs/HashNet/digit_pictures.py --baselines
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/pictures.py', '../_base_/datasets/digit_pictures.py']

method = 'hashnet'
model_name = 'HashNet'
