# CSQ on NUS-WIDE:
#     python preprocess.py --config configs/CSQ/nuswide.py
#     python train.py --config configs/CSQ/nuswide.py
#     python eval.py --config configs/CSQ/nuswide.py
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/pictures.py', '../_base_/resnet34.py', '../_base_/datasets/nuswide.py']

method = 'csq'
model_name = 'CSQ'
