# S5VH on FCVID, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/S5VH/fcv.py --nbits 64
#     python train.py --config configs/S5VH/fcv.py --nbits 64
#     python eval.py --config configs/S5VH/fcv.py --nbits 64
# Not run here. Published mAP@k, S5VH README, which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @80  @100
#       16 0.346 0.246 0.214 0.184 0.173
#       32 0.482 0.329 0.285 0.246 0.231
#       64 0.520 0.369 0.325 0.284 0.269
# The logs that came with the release were made with mask_ratio 0.3 and a_cluster 0.001.
_base_ = ['../_base_/s5vh.py', '../_base_/datasets/fcv.py']

batch_size = 512
mask_ratio = 0.75
num_epochs = 500
alpha = 2.5
tau_plus = 0.1
a_cluster = 0.01
nclusters = 450
eval_every = 50
