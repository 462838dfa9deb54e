# CIFAR-100 as SHC divides it, in the folder of its release: files of 32 x 32 pictures, and lists of them.
_base_ = 'lists.py'

dataset = 'cifar100'
data_root = 'data/cifar-100-new-seg/'
item_shape = [32, 32, 3]
resize = 256
num_classes = 100

train_num_sample = 10000
test_num_sample = 45000
query_num_sample = 5000
map_at = [100, 1000, 45000]
