# BTH on HMDB51, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/BTH/hmdb.py --nbits 64
#     python train.py --config configs/BTH/hmdb.py --nbits 64
#     python eval.py --config configs/BTH/hmdb.py --nbits 64
# Its program is for FCVID; here there are as many videos to an anchor as there.
# Not run here. Published mAP@k, AutoSSVH repository issue 2 (author's figure data), which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @60   @80  @100
#       64 0.199 0.137 0.104 0.085 0.071 0.061
_base_ = ['../_base_/bth.py', '../_base_/datasets/hmdb.py']

nanchors = 150
