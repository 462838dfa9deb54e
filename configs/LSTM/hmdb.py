# S5VH with an LSTM for its backbone on HMDB51, at 16, 32 or 64 bits:
#     python preprocess.py --config configs/LSTM/hmdb.py --nbits 64
#     python train.py --config configs/LSTM/hmdb.py --nbits 64
#     python eval.py --config configs/LSTM/hmdb.py --nbits 64
# Not run here. tables/published.csv has nothing of it.
# In the release this backbone does not train.
_base_ = ['../S5VH/hmdb.py', '../_base_/pca512.py']

model_name = 'LSTM'
mixer = 'lstm'
