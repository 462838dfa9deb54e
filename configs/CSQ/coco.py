# CSQ on MS-COCO:
#     python preprocess.py --config configs/CSQ/coco.py
#     python train.py --config configs/CSQ/coco.py
#     python eval.py --config configs/CSQ/coco.py
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/pictures.py', '../_base_/resnet34.py', '../_base_/datasets/coco.py']

method = 'csq'
model_name = 'CSQ'
