# The same with the training pictures in the database of 59,000; add --protocol cifar10_1.
_base_ = 'cifar10.py'

dataset = 'cifar10_1'
test_num_sample = 59000
map_at = [1000, 59000]
