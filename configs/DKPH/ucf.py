# DKPH on UCF101, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/DKPH/ucf.py --nbits 64
#     python train.py --config configs/DKPH/ucf.py --nbits 64
#     python eval.py --config configs/DKPH/ucf.py --nbits 64
# Its program is for FCVID; here there are as many videos to an anchor as there.
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/dkph.py', '../_base_/datasets/ucf.py']

nanchors = 400
