# HMDB51: features of 25 frames; the 1,530 test videos query the 3,570 of the training split.
dataset = 'hmdb'
data_root = f'data/{dataset}/'
feature_size = 4096
max_frames = 25

train_feat_path = [f'{data_root}hmdb_train_feats.h5']
test_feat_path = [f'{data_root}hmdb_train_feats.h5']
label_path = [f'{data_root}hmdb_train_labels.mat']
query_feat_path = [f'{data_root}hmdb_test_feats.h5']
query_label_path = [f'{data_root}hmdb_test_labels.mat']

train_num_sample = 3570
test_num_sample = 3570
query_num_sample = 1530
