# SHC on MS-COCO:
#     python preprocess.py --config configs/SHC/coco.py
#     python train.py --config configs/SHC/coco.py
#     python eval.py --config configs/SHC/coco.py
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/shc.py', '../_base_/datasets/coco.py']
