# AutoSSVH on the smartwatch exercises, sized for two CPU cores:
#     pip install seglearn==1.2.5
#     python -m dataset.watch
#     python train.py --config configs/AutoSSVH/watch.py
#     python eval.py --config configs/AutoSSVH/watch.py --baselines
# The paper has nothing on this set.
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/autossvh.py', '../_base_/datasets/watch.py']

nbits = 16
hidden_size = 128
decoder_size = 96
encoder_depth = 2
encoder_heads = 4
decoder_depth = 1
batch_size = 64
num_epochs = 15
warm_up_epoch = 5
eval_every = 10
prototype_clusters = [30, 50, 70]
schedule = 'CosineAnnealingLR'  # 15 epochs are too few for the paper's steps
lr = 1e-3
min_lr = 1e-5
tau_plus = 0.05
