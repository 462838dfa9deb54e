# S5VHplus on the sample dataset:
#     python -m dataset.digits
#     python preprocess.py --config configs/S5VHplus/digits.py
#     python train.py --config configs/S5VHplus/digits.py
#     python eval.py --config configs/S5VHplus/digits.py --baselines
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/s5vh_plus.py', '../_base_/datasets/digits.py']

nclusters = 60
