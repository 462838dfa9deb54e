# DPSH on ImageNet-100:
#     python preprocess.py --config configs/DPSH/imagenet.py
#     python train.py --config configs/DPSH/imagenet.py
#     python eval.py --config configs/DPSH/imagenet.py
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/imagenet.py'

method = 'dpsh'
model_name = 'DPSH'
