# The same with 50,000 pictures to train, which are the database, and 10,000 queries; add --protocol cifar10_2.
_base_ = 'cifar10.py'

dataset = 'cifar10_2'
test_feat_path = label_path = [f'{data_root}train.h5']

train_num_sample = 50000
test_num_sample = 50000
query_num_sample = 10000
map_at = [1000, 50000]
