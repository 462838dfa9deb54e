# NABirds-B of SHC, 555 classes: a split of its own, whose parts as published are 1,605 more than all pictures.
_base_ = 'lists.py'

dataset = 'nabirds_b'
data_root = 'data/NAbirds-new-seg/'
num_classes = 555

train_num_sample = 16384
test_num_sample = 25612
query_num_sample = 8171
map_at = [100, 1000, 25612]
