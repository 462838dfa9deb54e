# Omniglot (Lake et al., Science 2015) as grey pictures of 32 x 32: 242 characters of 8 alphabets, fourteen drawers each for
# training and database, six for queries. The label files also have `alphabet`, its number.
dataset = 'omniglot'
data_root = f'data/{dataset}/'
feat_key = 'images'
item_shape = [32, 32, 1]

train_feat_path = test_feat_path = [f'{data_root}train_images.h5']
train_label_path = label_path = [f'{data_root}train_labels.mat']
query_feat_path = [f'{data_root}test_images.h5']
query_label_path = [f'{data_root}test_labels.mat']
label_key = query_label_key = train_label_key = 'labels'

train_num_sample = 3388
test_num_sample = 3388
query_num_sample = 1452
num_classes = 242

backbone = 'resnet18'
backbone_width = 0.25
small_pictures = True
crop_padding = 2
crop = 32
flip = False
map_at = [5, 20]

# sized for two CPU cores
nbits = 32
num_epochs = 20
lr = 1e-3
eval_every = 0
