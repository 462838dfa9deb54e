# DKPH on FCVID, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/DKPH/fcv.py --nbits 64
#     python train.py --config configs/DKPH/fcv.py --nbits 64
#     python eval.py --config configs/DKPH/fcv.py --nbits 64
# Not run here. Published mAP@k, AutoSSVH repository issue 2 (author's figure data), which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @60   @80  @100
#       64 0.490 0.328 0.278 0.250 0.228 0.211
_base_ = ['../_base_/dkph.py', '../_base_/datasets/fcv.py']
