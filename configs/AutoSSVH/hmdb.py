# AutoSSVH on HMDB51, at 16, 32 or 64 bits:
#     python train.py --config configs/AutoSSVH/hmdb.py --nbits 64
#     python eval.py --config configs/AutoSSVH/hmdb.py --nbits 64
# Not run here. Published mAP@k, AutoSSVH README, which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @60   @80  @100
#       16 0.161 0.113 0.081 0.064 0.053 0.045
#       32 0.227 0.163 0.123 0.097 0.081 0.069
#       64 0.256 0.175 0.137 0.111 0.090 0.076
_base_ = ['../_base_/autossvh.py', '../_base_/datasets/hmdb.py']

mask_ratio = 0.7
prototype_weight = 0.2
warm_up_epoch = 50
num_epochs = 350
alpha = 1.0
tau_plus = 0.1
eval_every = 50
