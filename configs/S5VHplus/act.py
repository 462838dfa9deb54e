# S5VHplus on ActivityNet:
#     python preprocess.py --config configs/S5VHplus/act.py
#     python train.py --config configs/S5VHplus/act.py
#     python eval.py --config configs/S5VHplus/act.py --baselines
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/s5vh_plus.py', '../_base_/datasets/act.py']

nclusters = 100
