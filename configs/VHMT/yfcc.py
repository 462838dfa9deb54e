# VHMT on YFCC, at 16, 32 or 64 bits; the paper has its numbers in a figure only:
#     python preprocess.py --config configs/VHMT/yfcc.py --nbits 64
#     python train.py --config configs/VHMT/yfcc.py --nbits 64
#     python eval.py --config configs/VHMT/yfcc.py --nbits 64
# The paper counts 101,256 test videos and does not say which are queries; here they are ConMH's 1,000.
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/vhmt.py', '../_base_/datasets/yfcc.py']

num_epochs = 40
