# WSCH on HMDB51, at 16, 32 or 64 bits:
#     python train.py --config configs/WSCH/hmdb.py --nbits 64
#     python eval.py --config configs/WSCH/hmdb.py --nbits 64
# Nothing is published or released of HMDB51: the settings are those of ActivityNet.
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/wsch.py', '../_base_/datasets/hmdb.py']

eval_every = 50
