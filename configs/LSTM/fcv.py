# S5VH with an LSTM for its backbone on FCVID, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/LSTM/fcv.py --nbits 64
#     python train.py --config configs/LSTM/fcv.py --nbits 64
#     python eval.py --config configs/LSTM/fcv.py --nbits 64
# Not run here. tables/published.csv has nothing of it.
# In the release this backbone does not train.
_base_ = '../S5VH/fcv.py'

model_name = 'LSTM'
mixer = 'lstm'
mask_ratio = 0.3
