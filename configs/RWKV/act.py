# S5VH with an RWKV-6 for its backbone on ActivityNet, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/RWKV/act.py --nbits 64
#     python train.py --config configs/RWKV/act.py --nbits 64
#     python eval.py --config configs/RWKV/act.py --nbits 64
# Not measured here. No figures are published: in the release this backbone does not train.
_base_ = '../S5VH/act.py'

model_name = 'RWKV'
