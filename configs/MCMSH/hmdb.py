# MCMSH on HMDB51, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/MCMSH/hmdb.py --nbits 64
#     python train.py --config configs/MCMSH/hmdb.py --nbits 64
#     python eval.py --config configs/MCMSH/hmdb.py --nbits 64
# Its program is for FCVID; here there are as many videos to an anchor as there.
# Not run here. Published mAP@k, AutoSSVH repository issue 2 (author's figure data), which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @60   @80  @100
#       64 0.200 0.134 0.099 0.090 0.060 0.057
_base_ = ['../_base_/mcmsh.py', '../_base_/datasets/hmdb.py']

nanchors = 150
