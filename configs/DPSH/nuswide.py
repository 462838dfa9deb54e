# DPSH on NUS-WIDE:
#     python preprocess.py --config configs/DPSH/nuswide.py
#     python train.py --config configs/DPSH/nuswide.py
#     python eval.py --config configs/DPSH/nuswide.py
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/nuswide.py'

method = 'dpsh'
model_name = 'DPSH'
