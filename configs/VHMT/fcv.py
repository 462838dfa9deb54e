# VHMT on FCVID, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/VHMT/fcv.py --nbits 64
#     python train.py --config configs/VHMT/fcv.py --nbits 64
#     python eval.py --config configs/VHMT/fcv.py --nbits 64
# Not run here. Published mAP@k, VHMT paper tables 4, 5 (min(k,R) normaliser):
#     bits    @5   @20   @40   @60   @80  @100
#       64 0.530 0.372 0.322 0.296 0.275 0.260
_base_ = ['../_base_/vhmt.py', '../_base_/datasets/fcv.py']

num_epochs = 800
eval_every = 50
