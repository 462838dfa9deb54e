# S5VH with a RetNet for its backbone on FCVID, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/RetNet/fcv.py --nbits 64
#     python train.py --config configs/RetNet/fcv.py --nbits 64
#     python eval.py --config configs/RetNet/fcv.py --nbits 64
# Not run here. Published mAP@k, AutoSSVH repository issue 2 (author's figure data), which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @60   @80  @100
#       64 0.521 0.356 0.305 0.279 0.259 0.243
# In the release this backbone does not train.
_base_ = '../S5VH/fcv.py'

model_name = 'RetNet'
mixer = 'retnet'
mask_ratio = 0.3
