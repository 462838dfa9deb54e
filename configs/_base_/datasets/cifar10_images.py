# The 10,000 test pictures of CIFAR-10 as JPEG files, a folder a class, with lists of them: 5,000 to train, which are of the
# database of 9,000, and 1,000 queries. Numbers on it are not those of the published protocols.
dataset = 'cifar10_images'
data_root = f'data/{dataset}/'
item_shape = [32, 32, 3]

train_feat_path = train_label_path = [f'{data_root}train.txt']
test_feat_path = label_path = [f'{data_root}database.txt']
query_feat_path = query_label_path = [f'{data_root}query.txt']

train_num_sample = 5000
test_num_sample = 9000
query_num_sample = 1000
num_classes = 10

backbone = 'resnet18'
backbone_width = 0.25
small_pictures = True
crop_padding = 4
crop = 32
map_at = [1000]

# sized for two CPU cores
nbits = 32
num_epochs = 20
lr = 1e-3
eval_every = 0
