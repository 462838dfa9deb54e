# GraphCode on UCF101, at any number of bits:
#     python preprocess.py --config configs/GraphCode/ucf.py
#     python train.py --config configs/GraphCode/ucf.py
#     python eval.py --config configs/GraphCode/ucf.py --baselines
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/graph_code.py', '../_base_/datasets/ucf.py']
