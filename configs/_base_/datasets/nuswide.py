# NUS-WIDE, its 21 most frequent concepts, as DeepHash's nuswide_21: 500 pictures a concept to train, 100 to ask.
_base_ = 'lists.py'

dataset = 'nuswide'
num_classes = 21

train_num_sample = 10500
test_num_sample = 193734
query_num_sample = 2100
map_at = [5000]
