# SHC on the sample pictures, sized for two CPU cores:
#     python -m dataset.digit_pictures
#     python preprocess.py --config configs/SHC/digit_pictures.py
#     python train.py --config configs/SHC/digit_pictures.py
#     python eval.py --config configs/SHC/digit_pictures.py --baselines
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/pictures.py', '../_base_/datasets/digit_pictures.py']

method = 'shc'
model_name = 'SHC'
similarity_epochs = 5
similarity_lr = 1e-3
