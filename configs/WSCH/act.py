# WSCH on ActivityNet, at 16, 32 or 64 bits:
#     python train.py --config configs/WSCH/act.py --nbits 64
#     python eval.py --config configs/WSCH/act.py --nbits 64
# Only the settings at 64 bits are released; others are trained by the same.
# Not run here. Published mAP@k, WSCH README:
#     bits    @5   @20   @40   @60   @80  @100
#       32 0.311 0.195 0.120 0.085 0.066 0.053
#       64 0.378 0.242 0.146 0.102 0.078 0.063
_base_ = ['../_base_/wsch.py', '../_base_/datasets/act.py']

eval_every = 50
