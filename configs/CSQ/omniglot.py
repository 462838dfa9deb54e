# CSQ on Omniglot (docs/pictures.md):
#     python preprocess.py --config configs/CSQ/omniglot.py
#     python train.py --config configs/CSQ/omniglot.py
#     python eval.py --config configs/CSQ/omniglot.py
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/pictures.py', '../_base_/datasets/omniglot.py']

method = 'csq'
model_name = 'CSQ'
