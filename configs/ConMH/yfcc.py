# ConMH on YFCC, at 16, 32 or 64 bits:
#     python train.py --config configs/ConMH/yfcc.py --nbits 64
#     python eval.py --config configs/ConMH/yfcc.py --nbits 64
# Not run here. Published mAP@k, ConMH README:
#     bits    @5   @20   @40   @60   @80  @100
#       16 0.225 0.146 0.122 0.113 0.108 0.104
#       32 0.341 0.182 0.148 0.135 0.128 0.123
#       64 0.368 0.194 0.158 0.143 0.135 0.130
_base_ = ['../_base_/conmh.py', '../_base_/datasets/yfcc.py']

mask_ratio = 0.75
num_epochs = 40
alpha = 1.0
tau_plus = 0.1
eval_every = 10
