# SHC on Omniglot (docs/pictures.md):
#     python preprocess.py --config configs/SHC/omniglot.py
#     python train.py --config configs/SHC/omniglot.py
#     python eval.py --config configs/SHC/omniglot.py
# Measured at 32 bits, one seed, ties in expectation, with class_center_solver = 'descent': mAP@5 .876, @20 .858; by alphabets .941, .928.
_base_ = ['../_base_/pictures.py', '../_base_/datasets/omniglot.py']

method = 'shc'
model_name = 'SHC'
similarity_epochs = 10
similarity_lr = 1e-3
