# Stanford Cars-B of SHC, 196 classes: a split of its own.
_base_ = 'lists.py'

dataset = 'cars_b'
data_root = 'data/stanford_cars-new-seg/'
num_classes = 196

train_num_sample = 5880
test_num_sample = 8347
query_num_sample = 1958
map_at = [100, 1000, 8347]
