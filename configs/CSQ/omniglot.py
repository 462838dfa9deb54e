# CSQ on Omniglot (docs/pictures.md):
#     python preprocess.py --config configs/CSQ/omniglot.py
#     python train.py --config configs/CSQ/omniglot.py
#     python eval.py --config configs/CSQ/omniglot.py
# Measured at 32 bits, one seed, ties in expectation: mAP@5 .841, @20 .815; by alphabets .906, .876 (docs/pictures.md).
_base_ = ['../_base_/pictures.py', '../_base_/datasets/omniglot.py']

method = 'csq'
model_name = 'CSQ'
