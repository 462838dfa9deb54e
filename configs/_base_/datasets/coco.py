# MS-COCO, 80 classes, as HashNet divides it.
_base_ = 'lists.py'

dataset = 'coco'
num_classes = 80

train_num_sample = 10000
test_num_sample = 117218
query_num_sample = 5000
map_at = [100, 1000, 5000]
