# BTH on ActivityNet, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/BTH/act.py --nbits 64
#     python train.py --config configs/BTH/act.py --nbits 64
#     python eval.py --config configs/BTH/act.py --nbits 64
# Its program is for FCVID; here there are as many videos to an anchor as there.
# Not run here. Published mAP@k, AutoSSVH repository issue 2 (author's figure data), which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @60   @80  @100
#       16 0.116 0.061 0.036 0.026 0.020 0.017
_base_ = ['../_base_/bth.py', '../_base_/datasets/act.py']

nanchors = 400
