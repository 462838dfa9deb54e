# ConMH on FCVID, at 16, 32 or 64 bits:
#     python train.py --config configs/ConMH/fcv.py --nbits 64
#     python eval.py --config configs/ConMH/fcv.py --nbits 64
# Not run here. Published mAP@k, ConMH README, which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @60   @80  @100
#       16 0.350 0.252 0.216 0.196 0.181 0.169
#       32 0.476 0.332 0.287 0.263 0.245 0.230
#       64 0.524 0.373 0.326 0.301 0.283 0.267
_base_ = ['../_base_/conmh.py', '../_base_/datasets/fcv.py']

batch_size = 512
mask_ratio = 0.75
num_epochs = 800
alpha = 1.0
tau_plus = 0.1
eval_every = 50
