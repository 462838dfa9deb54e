# BTH on the sample dataset, sized for two CPU cores:
#     python -m dataset.digits
#     python preprocess.py --config configs/BTH/digits.py
#     python train.py --config configs/BTH/digits.py
#     python eval.py --config configs/BTH/digits.py --baselines
# Measured, seed 1, ties in expectation: mAP@5 .0263, @20 .0121, @100 .0049; before any training .0077, .0032, .0011.
_base_ = ['../_base_/bth.py', '../_base_/neighbor_pairs_small.py', '../_base_/datasets/digits.py']

num_epochs = 25
# Pixels lie in [0, 1] and are mostly black: their squared errors are some thirty times smaller than those of
# CNN features, and the other losses are weighed down to match.
pair_weight = 0.0027
anchor_weight = 0.027
