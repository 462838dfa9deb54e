# HashNet on MS-COCO:
#     python preprocess.py --config configs/HashNet/coco.py
#     python train.py --config configs/HashNet/coco.py
#     python eval.py --config configs/HashNet/coco.py
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/coco.py'

method = 'hashnet'
model_name = 'HashNet'
