# GreedyHash on CIFAR-10, all 50,000 training pictures:
#     python preprocess.py --config configs/GreedyHash/cifar10_2.py
#     python train.py --config configs/GreedyHash/cifar10_2.py
#     python eval.py --config configs/GreedyHash/cifar10_2.py
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/cifar10_2.py'

method = 'greedy_hash'
model_name = 'GreedyHash'
