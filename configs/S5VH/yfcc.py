# S5VH on YFCC, at 16, 32 or 64 bits. No paper gives S5VH's settings for YFCC: they are those of FCVID, but for the
# 40 epochs that ConMH and VHMT train there and as many of them for warming up as FCVID has in proportion.
#     python preprocess.py --config configs/S5VH/yfcc.py --nbits 64
#     python train.py --config configs/S5VH/yfcc.py --nbits 64
#     python eval.py --config configs/S5VH/fcv.py --nbits 64 --on configs/S5VH/yfcc.py
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/s5vh.py', '../_base_/datasets/yfcc.py']

batch_size = 512
mask_ratio = 0.75
num_epochs = 40
warm_up_epoch = 4
alpha = 2.5
tau_plus = 0.1
a_cluster = 0.01
nclusters = 450
eval_every = 10
