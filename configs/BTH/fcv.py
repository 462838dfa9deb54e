# BTH on FCVID, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/BTH/fcv.py --nbits 64
#     python train.py --config configs/BTH/fcv.py --nbits 64
#     python eval.py --config configs/BTH/fcv.py --nbits 64
# Not run here. Published mAP@k, AutoSSVH repository issue 2 (author's figure data), which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @60   @80  @100
#       64 0.475 0.310 0.260 0.235 0.216 0.202
_base_ = ['../_base_/bth.py', '../_base_/datasets/fcv.py']
