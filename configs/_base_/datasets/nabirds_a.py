# NABirds-A of SHC, 555 classes: the official split, the training pictures are the database.
_base_ = 'lists.py'

dataset = 'nabirds_a'
data_root = 'data/NAbirds-official-seg/'
test_feat_path = label_path = [f'{data_root}train.txt']
num_classes = 555

train_num_sample = 24633
test_num_sample = 24633
query_num_sample = 23929
map_at = [100, 1000, 24633]
