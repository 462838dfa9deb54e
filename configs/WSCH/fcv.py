# WSCH on FCVID, at 16, 32 or 64 bits:
#     python train.py --config configs/WSCH/fcv.py --nbits 64
#     python eval.py --config configs/WSCH/fcv.py --nbits 64
# Its settings for FCVID are not released: they are those of ActivityNet.
# Not run here. Published mAP@k, WSCH README:
#     bits    @5   @20   @40   @60   @80  @100
#       32 0.492 0.361 0.323 0.303 0.287 0.273
#       64 0.558 0.424 0.384 0.362 0.345 0.328
_base_ = ['../_base_/wsch.py', '../_base_/datasets/fcv.py']

eval_every = 50
