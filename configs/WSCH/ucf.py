# WSCH on UCF101, at 16, 32 or 64 bits:
#     python train.py --config configs/WSCH/ucf.py --nbits 64
#     python eval.py --config configs/WSCH/ucf.py --nbits 64
# Nothing is published or released of UCF101: the settings are those of ActivityNet.
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/wsch.py', '../_base_/datasets/ucf.py']

eval_every = 50
