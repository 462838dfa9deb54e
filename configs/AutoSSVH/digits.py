# AutoSSVH on the sample dataset, sized for two CPU cores:
#     python -m dataset.digits
#     python train.py --config configs/AutoSSVH/digits.py
#     python eval.py --config configs/AutoSSVH/digits.py --baselines
# The paper has nothing on this set.
# Measured at 16 bits, one seed (reproduce.py --table methods --datasets digits --bits 16 --seeds 1), ties in expectation: mAP@5 .0406,
# before any training .0093; S5VH, in as many epochs, .0565 and .0095.
_base_ = ['../_base_/autossvh.py', '../_base_/masked_small.py', '../_base_/datasets/digits.py']

num_epochs = 25
warm_up_epoch = 8
prototype_clusters = [40, 60, 90]
# Pixels lie in [0, 1] and are mostly black: their squared errors are some thirty times smaller than those of
# CNN features, and the other losses are weighed down to match.
alpha = 0.05
prototype_weight = 0.0005
