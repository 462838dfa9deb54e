# ConMH on HMDB51, at 16, 32 or 64 bits:
#     python train.py --config configs/ConMH/hmdb.py --nbits 64
#     python eval.py --config configs/ConMH/hmdb.py --nbits 64
# The paper has no numbers and no settings for HMDB51: the settings are those of AutoSSVH, which has the same network.
# Not run here. Published mAP@k, AutoSSVH repository issue 2 (author's figure data), which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @60   @80  @100
#       64 0.234 0.159 0.116 0.091 0.075 0.064
_base_ = ['../_base_/conmh.py', '../_base_/datasets/hmdb.py']

mask_ratio = 0.7
num_epochs = 350
alpha = 1.0
tau_plus = 0.1
eval_every = 50
