# MambaHash on NUS-WIDE:
#     python preprocess.py --config configs/MambaHash/nuswide.py
#     python train.py --config configs/MambaHash/nuswide.py
#     python eval.py --config configs/MambaHash/nuswide.py
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/mambahash.py', '../_base_/datasets/nuswide.py']
