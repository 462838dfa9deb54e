# AutoSSVH on ActivityNet, at 16, 32 or 64 bits:
#     python train.py --config configs/AutoSSVH/act.py --nbits 64
#     python eval.py --config configs/AutoSSVH/act.py --nbits 64
# Not run here. Published mAP@k, AutoSSVH README, which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @60   @80  @100
#       16 0.176 0.091 0.055 0.040 0.031 0.026
#       32 0.250 0.136 0.082 0.061 0.049 0.038
#       64 0.290 0.164 0.098 0.071 0.055 0.045
_base_ = ['../_base_/autossvh.py', '../_base_/datasets/act.py']

input_dropout = 0.2
warm_up_epoch = 100
num_epochs = 800
alpha = 0.2
tau_plus = 0.05
eval_every = 50
