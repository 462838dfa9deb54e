# S5VHplus on HMDB51:
#     python preprocess.py --config configs/S5VHplus/hmdb.py
#     python train.py --config configs/S5VHplus/hmdb.py
#     python eval.py --config configs/S5VHplus/hmdb.py --baselines
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/s5vh_plus.py', '../_base_/datasets/hmdb.py']

nclusters = 100
