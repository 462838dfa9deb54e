# ConMH on UCF101, at 16, 32 or 64 bits:
#     python train.py --config configs/ConMH/ucf.py --nbits 64
#     python eval.py --config configs/ConMH/ucf.py --nbits 64
# The paper has no numbers and no settings for UCF101: the settings are those of AutoSSVH, which has the same network.
# Not run here. Published mAP@k, BPG-FNSC repository (S5VH paper figure 3 data as posted):
#     bits    @5   @20   @40   @60   @80  @100
#       16 0.401 0.306 0.245 0.205 0.174 0.150
#       32 0.483 0.381 0.317 0.272 0.235 0.206
#       64 0.555 0.456 0.390 0.343 0.302 0.266
_base_ = ['../_base_/conmh.py', '../_base_/datasets/ucf.py']

mask_ratio = 0.5
num_epochs = 350
alpha = 1.0
tau_plus = 0.1
eval_every = 50
