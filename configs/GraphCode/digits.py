# GraphCode on the sample dataset, at any number of bits:
#     python -m dataset.digits
#     python preprocess.py --config configs/GraphCode/digits.py
#     python train.py --config configs/GraphCode/digits.py
#     python eval.py --config configs/GraphCode/digits.py --baselines
# Measured, three seeds, ties by index (docs/graph_code.md): mAP@5 .0561 at 16 bits, .0609 at 32, .0811 at 64.
_base_ = ['../_base_/graph_code.py', '../_base_/datasets/digits.py']
