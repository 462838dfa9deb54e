# S5VH with an RWKV-6 for its backbone on UCF101, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/RWKV/ucf.py --nbits 64
#     python train.py --config configs/RWKV/ucf.py --nbits 64
#     python eval.py --config configs/RWKV/ucf.py --nbits 64
# Not run here. Published mAP@k, BPG-FNSC repository (S5VH paper figure 3 data as posted):
#     bits    @5   @20   @40   @60   @80  @100
#       16 0.470 0.385 0.333 0.293 0.260 0.230
#       32 0.536 0.455 0.400 0.362 0.326 0.290
#       64 0.580 0.501 0.453 0.416 0.378 0.337
# In the release this backbone does not train.
_base_ = '../S5VH/ucf.py'

model_name = 'RWKV'
mixer = 'rwkv'
