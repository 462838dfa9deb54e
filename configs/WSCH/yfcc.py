# WSCH on YFCC, at 16, 32 or 64 bits:
#     python train.py --config configs/WSCH/yfcc.py --nbits 64
#     python eval.py --config configs/WSCH/yfcc.py --nbits 64
# Nothing of YFCC is released: the settings are those of ActivityNet, for a tenth of the epochs, as the videos are forty
# times as many.
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/wsch.py', '../_base_/datasets/yfcc.py']

pretrain_epochs = 10
num_epochs = 70
eval_every = 10
