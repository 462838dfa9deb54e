# S5VH with a RetNet for its backbone on UCF101, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/RetNet/ucf.py --nbits 64
#     python train.py --config configs/RetNet/ucf.py --nbits 64
#     python eval.py --config configs/RetNet/ucf.py --nbits 64
# Not run here. Published mAP@k, BPG-FNSC repository (S5VH paper figure 3 data as posted):
#     bits    @5   @20   @40   @60   @80  @100
#       16 0.411 0.337 0.298 0.270 0.242 0.216
#       32 0.522 0.442 0.390 0.354 0.320 0.286
#       64 0.576 0.489 0.434 0.392 0.353 0.316
# In the release this backbone does not train.
_base_ = '../S5VH/ucf.py'

model_name = 'RetNet'
mixer = 'retnet'
