# S5VH with an RWKV-6 for its backbone on FCVID, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/RWKV/fcv.py --nbits 64
#     python train.py --config configs/RWKV/fcv.py --nbits 64
#     python eval.py --config configs/RWKV/fcv.py --nbits 64
# Not run here. Published mAP@k, AutoSSVH repository issue 2 (author's figure data), which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @60   @80  @100
#       64 0.520 0.372 0.328 0.304 0.286 0.271
# In the release this backbone does not train.
_base_ = '../S5VH/fcv.py'

model_name = 'RWKV'
mixer = 'rwkv'
mask_ratio = 0.3
