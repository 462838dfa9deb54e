# S5VH with an RWKV-6 for its backbone on ActivityNet, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/RWKV/act.py --nbits 64
#     python train.py --config configs/RWKV/act.py --nbits 64
#     python eval.py --config configs/RWKV/act.py --nbits 64
# Not run here. Published mAP@k, AutoSSVH repository issue 2 (author's figure data), which differs from other sources (tables/published.csv):
#     bits    @5   @20   @40   @60   @80  @100
#       16 0.187 0.101 0.062 0.045 0.035 0.029
# In the release this backbone does not train.
_base_ = '../S5VH/act.py'

model_name = 'RWKV'
mixer = 'rwkv'
