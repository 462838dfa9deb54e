# DKPH on the smartwatch exercises, sized for two CPU cores:
#     pip install seglearn==1.2.5
#     python -m dataset.watch
#     python preprocess.py --config configs/DKPH/watch.py
#     python train.py --config configs/DKPH/watch.py
#     python eval.py --config configs/DKPH/watch.py --baselines
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/dkph.py', '../_base_/neighbor_pairs_small.py', '../_base_/datasets/watch.py']

num_epochs = 15
lr = 3e-4  # as on digits
schedule = 'StepLR'
min_lr = 1e-4
