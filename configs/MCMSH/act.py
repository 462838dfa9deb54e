# MCMSH on ActivityNet, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/MCMSH/act.py --nbits 64
#     python train.py --config configs/MCMSH/act.py --nbits 64
#     python eval.py --config configs/MCMSH/act.py --nbits 64
# Its program is for FCVID; here there are as many videos to an anchor as there.
# Not run here. Published mAP@k, AutoSSVH repository issue 2 (author's figure data), which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @60   @80  @100
#       16 0.140 0.068 0.041 0.028 0.021 0.018
_base_ = ['../_base_/mcmsh.py', '../_base_/datasets/act.py']

nanchors = 400
