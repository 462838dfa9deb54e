# MambaHash on the sample pictures, sized for two CPU cores:
#     python -m dataset.digit_pictures
#     python preprocess.py --config configs/MambaHash/digit_pictures.py
#     python train.py --config configs/MambaHash/digit_pictures.py
#     python eval.py --config configs/MambaHash/digit_pictures.py --baselines
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/pictures.py', '../_base_/datasets/digit_pictures.py']

method = 'mambahash'
model_name = 'MambaHash'
num_epochs = 20
lr = 2e-4  # from 1e-3 on all codes become one
mamba_size = 'tiny'
