# MCMSH on UCF101, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/MCMSH/ucf.py --nbits 64
#     python train.py --config configs/MCMSH/ucf.py --nbits 64
#     python eval.py --config configs/MCMSH/ucf.py --nbits 64
# Its program is for FCVID; here there are as many videos to an anchor as there.
# Not run here. Published mAP@k, BPG-FNSC repository (S5VH paper figure 3 data as posted):
#     bits    @5   @20   @40   @60   @80  @100
#       16 0.235 0.167 0.130 0.106 0.088 0.076
#       32 0.407 0.319 0.261 0.219 0.184 0.158
#       64 0.508 0.423 0.360 0.310 0.267 0.231
_base_ = ['../_base_/mcmsh.py', '../_base_/datasets/ucf.py']

nanchors = 400
