# AutoSSVH on the smartwatch exercises, sized for two CPU cores:
#     pip install seglearn==1.2.5
#     python -m dataset.watch
#     python train.py --config configs/AutoSSVH/watch.py
#     python eval.py --config configs/AutoSSVH/watch.py --baselines
# The paper has nothing on this set.
# Measured at 16 bits, one seed (reproduce.py --table methods --datasets watch --bits 16 --seeds 1), ties in expectation: mAP@5 .5730,
# before any training .3419; S5VH, in as many epochs, .5689 and .3567.
_base_ = ['../_base_/autossvh.py', '../_base_/masked_small.py', '../_base_/datasets/watch.py']

num_epochs = 15
warm_up_epoch = 5
prototype_clusters = [30, 50, 70]
