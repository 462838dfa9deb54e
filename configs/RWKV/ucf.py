# S5VH with an RWKV-6 for its backbone on UCF101, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/RWKV/ucf.py --nbits 64
#     python train.py --config configs/RWKV/ucf.py --nbits 64
#     python eval.py --config configs/RWKV/ucf.py --nbits 64
# Not run here. tables/published.csv has nothing of it.
# In the release this backbone does not train.
_base_ = '../S5VH/ucf.py'

model_name = 'RWKV'
mixer = 'rwkv'
