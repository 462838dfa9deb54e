# S5VHplus on YFCC:
#     python preprocess.py --config configs/S5VHplus/yfcc.py
#     python train.py --config configs/S5VHplus/yfcc.py
#     python eval.py --config configs/S5VHplus/yfcc.py --baselines
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/s5vh_plus.py', '../_base_/datasets/yfcc.py']

nclusters = 450
