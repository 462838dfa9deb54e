# DKPH on the sample dataset, sized for two CPU cores:
#     python -m dataset.digits
#     python preprocess.py --config configs/DKPH/digits.py
#     python train.py --config configs/DKPH/digits.py
#     python eval.py --config configs/DKPH/digits.py --baselines
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/dkph.py', '../_base_/neighbor_pairs_small.py', '../_base_/datasets/digits.py']

num_epochs = 25
lr = 3e-4  # its program's: at BTH's 2e-3 all codes of digits become one, whatever the losses
schedule = 'StepLR'
min_lr = 1e-4
# Pixels lie in [0, 1] and are mostly black: their squared errors are some thirty times smaller than those of
# CNN features, and the other losses are weighed down to match.
pair_weight = 0.0037
anchor_weight = 0.03
