# 100 classes of ImageNet, as HashNet divides them: 130 pictures a class to train, 50 to ask.
_base_ = 'lists.py'

dataset = 'imagenet'
num_classes = 100

train_num_sample = 13000
test_num_sample = 128503
query_num_sample = 5000
map_at = [1000]
