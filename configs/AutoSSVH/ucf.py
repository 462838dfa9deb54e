# AutoSSVH on UCF101, at 16, 32 or 64 bits:
#     python train.py --config configs/AutoSSVH/ucf.py --nbits 64
#     python eval.py --config configs/AutoSSVH/ucf.py --nbits 64
# Not run here. Published mAP@k, AutoSSVH README, which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @60   @80  @100
#       16 0.423 0.343 0.288 0.244 0.210 0.184
#       32 0.519 0.448 0.396 0.353 0.309 0.269
#       64 0.570 0.500 0.452 0.413 0.373 0.329
_base_ = ['../_base_/autossvh.py', '../_base_/datasets/ucf.py']

mask_ratio = 0.5
prototype_weight = 0.2
warm_up_epoch = 50
num_epochs = 350
alpha = 1.0
tau_plus = 0.1
eval_every = 50
