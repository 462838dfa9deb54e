# VHMT on ActivityNet, at 16, 32 or 64 bits; the paper has its numbers in a figure only:
#     python preprocess.py --config configs/VHMT/act.py --nbits 64
#     python train.py --config configs/VHMT/act.py --nbits 64
#     python eval.py --config configs/VHMT/act.py --nbits 64
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/vhmt.py', '../_base_/datasets/act.py']

num_epochs = 500
eval_every = 50
