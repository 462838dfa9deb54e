# AutoSSVH on FCVID, at 16, 32 or 64 bits:
#     python train.py --config configs/AutoSSVH/fcv.py --nbits 64
#     python eval.py --config configs/AutoSSVH/fcv.py --nbits 64
# Not run here. Published mAP@k, AutoSSVH README, which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @60   @80  @100
#       16 0.347 0.256 0.225 0.207 0.193 0.180
#       32 0.483 0.336 0.289 0.263 0.244 0.228
#       64 0.539 0.381 0.334 0.309 0.290 0.273
_base_ = ['../_base_/autossvh.py', '../_base_/datasets/fcv.py']

batch_size = 512
mask_ratio = 0.75
prototype_clusters = [250, 500, 1000]
warm_up_epoch = 100
num_epochs = 805
alpha = 1.0
tau_plus = 0.1
min_lr = 1e-5
eval_every = 50
