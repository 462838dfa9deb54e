# AutoSSVH on YFCC, at 16, 32 or 64 bits:
#     python train.py --config configs/AutoSSVH/yfcc.py --nbits 64
#     python eval.py --config configs/AutoSSVH/yfcc.py --nbits 64
# The paper has no numbers and no settings for YFCC: they are those of FCVID, but for the 40 epochs that ConMH trains
# there, of which as many warm up as on FCVID in proportion, and its batches of 128.
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/autossvh.py', '../_base_/datasets/yfcc.py']

mask_ratio = 0.75
prototype_clusters = [250, 500, 1000]
warm_up_epoch = 5
num_epochs = 40
alpha = 1.0
tau_plus = 0.1
eval_every = 10
