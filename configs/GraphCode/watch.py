# GraphCode on the smartwatch exercises, at any number of bits:
#     pip install seglearn==1.2.5
#     python -m dataset.watch
#     python preprocess.py --config configs/GraphCode/watch.py
#     python train.py --config configs/GraphCode/watch.py
#     python eval.py --config configs/GraphCode/watch.py --baselines
# Measured, three seeds, ties by index (docs/graph_code.md): mAP@5 .6513 at 16 bits, .6853 at 32, .7002 at 64.
_base_ = ['../_base_/graph_code.py', '../_base_/datasets/watch.py']
