# GreedyHash on ImageNet-100:
#     python preprocess.py --config configs/GreedyHash/imagenet.py
#     python train.py --config configs/GreedyHash/imagenet.py
#     python eval.py --config configs/GreedyHash/imagenet.py
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/imagenet.py'

method = 'greedy_hash'
model_name = 'GreedyHash'
