# ActivityNet: ResNet-50 features of 30 frames; 1,000 queries against a database of 3,758.
dataset = 'activitynet'
data_root = f'data/{dataset}/'
feature_size = 2048
max_frames = 30

train_feat_path = [f'{data_root}train_feats.h5']
test_feat_path = [f'{data_root}test_feats.h5']
label_path = [f'{data_root}re_label.mat']
query_feat_path = [f'{data_root}query_feats.h5']
query_label_path = [f'{data_root}q_label.mat']

train_num_sample = 9722
test_num_sample = 3758
query_num_sample = 1000
