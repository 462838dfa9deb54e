# DKPH on UCF101, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/DKPH/ucf.py --nbits 64
#     python train.py --config configs/DKPH/ucf.py --nbits 64
#     python eval.py --config configs/DKPH/ucf.py --nbits 64
# Its program is for FCVID; here there are as many videos to an anchor as there.
# Not run here. Published mAP@k, BPG-FNSC repository (S5VH paper figure 3 data as posted):
#     bits    @5   @20   @40   @60   @80  @100
#       16 0.318 0.275 0.242 0.217 0.191 0.168
#       32 0.447 0.383 0.342 0.310 0.274 0.240
#       64 0.516 0.453 0.412 0.375 0.336 0.296
_base_ = ['../_base_/dkph.py', '../_base_/datasets/ucf.py']

nanchors = 400
