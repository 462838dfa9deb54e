# GraphCode on the smartwatch exercises, at any number of bits:
#     pip install seglearn==1.2.5
#     python -m dataset.watch
#     python preprocess.py --config configs/GraphCode/watch.py
#     python train.py --config configs/GraphCode/watch.py
#     python eval.py --config configs/GraphCode/watch.py --baselines
_base_ = ['../_base_/graph_code.py', '../_base_/datasets/watch.py']
