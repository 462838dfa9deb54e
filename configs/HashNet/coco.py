# HashNet on MS-COCO.
# Not run here. tables/published.csv has nothing of it.
_base_ = '../CSQ/coco.py'

method = 'hashnet'
model_name = 'HashNet'
