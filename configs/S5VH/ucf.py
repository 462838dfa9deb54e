# S5VH on UCF101, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/S5VH/ucf.py --nbits 64
#     python train.py --config configs/S5VH/ucf.py --nbits 64
#     python eval.py --config configs/S5VH/ucf.py --nbits 64
# Not run here. Published mAP@k, S5VH README, which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @80  @100
#       16 0.471 0.420 0.375 0.308 0.269
#       32 0.534 0.457 0.406 0.330 0.291
#       64 0.578 0.507 0.458 0.380 0.338
_base_ = ['../_base_/s5vh.py', '../_base_/datasets/ucf.py']

alpha = 1.0
tau_plus = 0.1
a_cluster = 0.1
nclusters = 101
