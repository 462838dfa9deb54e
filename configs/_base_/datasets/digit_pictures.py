# scikit-learn's handwritten digits as pictures of 16 x 16: 1,000 to train, 400 queries, a database of 1,397, 10 classes.
# `python -m dataset.digit_pictures` writes it.
dataset = 'digit_pictures'
data_root = f'data/{dataset}/'
item_shape = [16, 16, 3]

train_feat_path = [f'{data_root}train.h5']
train_label_path = [f'{data_root}train_labels.mat']
test_feat_path = [f'{data_root}database.h5']
label_path = [f'{data_root}database_labels.mat']
query_feat_path = [f'{data_root}query.h5']
query_label_path = [f'{data_root}query_labels.mat']

train_num_sample = 1000
test_num_sample = 1397
query_num_sample = 400

backbone = 'resnet18'
backbone_width = 0.25
small_pictures = True
crop = 16
crop_padding = 1
flip = False
map_at = [100, 1000]

# sized for two CPU cores
nbits = 32
num_epochs = 10
lr = 1e-3
eval_every = 0
