# SHC on NUS-WIDE:
#     python preprocess.py --config configs/SHC/nuswide.py
#     python train.py --config configs/SHC/nuswide.py
#     python eval.py --config configs/SHC/nuswide.py
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/shc.py', '../_base_/datasets/nuswide.py']
