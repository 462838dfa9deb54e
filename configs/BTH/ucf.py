# BTH on UCF101, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/BTH/ucf.py --nbits 64
#     python train.py --config configs/BTH/ucf.py --nbits 64
#     python eval.py --config configs/BTH/ucf.py --nbits 64
# Its program is for FCVID; here there are as many videos to an anchor as there.
# Not run here. Published mAP@k, BPG-FNSC repository (S5VH paper figure 3 data as posted):
#     bits    @5   @20   @40   @60   @80  @100
#       16 0.226 0.175 0.147 0.127 0.113 0.100
#       32 0.394 0.334 0.295 0.264 0.236 0.210
#       64 0.500 0.441 0.401 0.369 0.334 0.298
_base_ = ['../_base_/bth.py', '../_base_/datasets/ucf.py']

nanchors = 400
