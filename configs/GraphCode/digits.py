# GraphCode on the sample dataset, at any number of bits:
#     python -m dataset.digits
#     python preprocess.py --config configs/GraphCode/digits.py
#     python train.py --config configs/GraphCode/digits.py
#     python eval.py --config configs/GraphCode/digits.py --baselines
_base_ = ['../_base_/graph_code.py', '../_base_/datasets/digits.py']
