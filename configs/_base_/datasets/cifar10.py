# CIFAR-10 in the protocol that DeepHash calls cifar10: 5,000 pictures to train and 1,000 queries, which the database of
# 54,000 leaves out; 10 classes. `python -m dataset.cifar10 --source cifar-10-batches-bin` writes it.
dataset = 'cifar10'
data_root = f'data/{dataset}/'
item_shape = [32, 32, 3]
resize = 224
flip = False
num_classes = 10

train_feat_path = train_label_path = [f'{data_root}train.h5']
test_feat_path = label_path = [f'{data_root}database.h5']
query_feat_path = query_label_path = [f'{data_root}query.h5']

train_num_sample = 5000
test_num_sample = 54000
query_num_sample = 1000

map_at = [1000, 54000]
