# S5VHplus on FCVID:
#     python preprocess.py --config configs/S5VHplus/fcv.py
#     python train.py --config configs/S5VHplus/fcv.py
#     python eval.py --config configs/S5VHplus/fcv.py --baselines
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/s5vh_plus.py', '../_base_/datasets/fcv.py']

nclusters = 450
