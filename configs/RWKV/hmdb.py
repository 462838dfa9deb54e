# S5VH with an RWKV-6 for its backbone on HMDB51, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/RWKV/hmdb.py --nbits 64
#     python train.py --config configs/RWKV/hmdb.py --nbits 64
#     python eval.py --config configs/RWKV/hmdb.py --nbits 64
# Not run here. Published mAP@k, AutoSSVH repository issue 2 (author's figure data), which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @60   @80  @100
#       64 0.262 0.186 0.145 0.119 0.099 0.085
# In the release this backbone does not train.
_base_ = ['../S5VH/hmdb.py', '../_base_/pca512.py']

model_name = 'RWKV'
mixer = 'rwkv'
