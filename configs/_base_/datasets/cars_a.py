# Stanford Cars-A of SHC, 196 classes: the official split, the training pictures are the database.
_base_ = 'lists.py'

dataset = 'cars_a'
data_root = 'data/stanford_cars-official-seg/'
test_feat_path = label_path = [f'{data_root}train.txt']
num_classes = 196

train_num_sample = 8144
test_num_sample = 8144
query_num_sample = 8041
map_at = [100, 1000, 8144]
