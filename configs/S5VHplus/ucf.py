# S5VHplus on UCF101:
#     python preprocess.py --config configs/S5VHplus/ucf.py
#     python train.py --config configs/S5VHplus/ucf.py
#     python eval.py --config configs/S5VHplus/ucf.py --baselines
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/s5vh_plus.py', '../_base_/datasets/ucf.py']

nclusters = 101
