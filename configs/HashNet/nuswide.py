# HashNet on NUS-WIDE:
#     python preprocess.py --config configs/HashNet/nuswide.py
#     python train.py --config configs/HashNet/nuswide.py
#     python eval.py --config configs/HashNet/nuswide.py
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/nuswide.py'

method = 'hashnet'
model_name = 'HashNet'
