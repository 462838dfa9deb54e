# HashNet on ImageNet-100:
#     python preprocess.py --config configs/HashNet/imagenet.py
#     python train.py --config configs/HashNet/imagenet.py
#     python eval.py --config configs/HashNet/imagenet.py
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/imagenet.py'

method = 'hashnet'
model_name = 'HashNet'
