# UCF101: features of 25 frames; the 3,783 test videos query the 9,537 of the training split.
dataset = 'ucf'
data_root = f'data/{dataset}/'
feature_size = 4096
max_frames = 25

train_feat_path = [f'{data_root}ucf_train_feats.h5']
test_feat_path = [f'{data_root}ucf_train_feats.h5']
label_path = [f'{data_root}ucf_train_labels.mat']
query_feat_path = [f'{data_root}ucf_test_feats.h5']
query_label_path = [f'{data_root}ucf_test_labels.mat']

train_num_sample = 9537
test_num_sample = 9537
query_num_sample = 3783
