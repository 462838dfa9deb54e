# DKPH on YFCC, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/DKPH/yfcc.py --nbits 64
#     python train.py --config configs/DKPH/yfcc.py --nbits 64
#     python eval.py --config configs/DKPH/yfcc.py --nbits 64
# Its program is for FCVID, whose settings these are.
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/dkph.py', '../_base_/datasets/yfcc.py']
