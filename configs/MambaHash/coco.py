# MambaHash on MS-COCO:
#     python preprocess.py --config configs/MambaHash/coco.py
#     python train.py --config configs/MambaHash/coco.py
#     python eval.py --config configs/MambaHash/coco.py
# Not run here. tables/published.csv has nothing of it.
_base_ = ['../_base_/mambahash.py', '../_base_/datasets/coco.py']
