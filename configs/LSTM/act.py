# S5VH with an LSTM for its backbone on ActivityNet, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/LSTM/act.py --nbits 64
#     python train.py --config configs/LSTM/act.py --nbits 64
#     python eval.py --config configs/LSTM/act.py --nbits 64
# Not run here. tables/published.csv has nothing of it.
# In the release this backbone does not train.
_base_ = '../S5VH/act.py'

model_name = 'LSTM'
mixer = 'lstm'
