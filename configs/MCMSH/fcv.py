# MCMSH on FCVID, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/MCMSH/fcv.py --nbits 64
#     python train.py --config configs/MCMSH/fcv.py --nbits 64
#     python eval.py --config configs/MCMSH/fcv.py --nbits 64
# Not run here. Published mAP@k, AutoSSVH repository issue 2 (author's figure data), which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @60   @80  @100
#       64 0.494 0.335 0.288 0.263 0.245 0.230
_base_ = ['../_base_/mcmsh.py', '../_base_/datasets/fcv.py']
