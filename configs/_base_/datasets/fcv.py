# FCVID: VGG features of 25 frames; each of the 45,600 test videos queries them all, itself included.
dataset = 'fcv'
data_root = f'data/{dataset}/'
feature_size = 4096
max_frames = 25

train_feat_path = [f'{data_root}fcv_train_feats.h5']
test_feat_path = [f'{data_root}fcv_test_feats.h5']
label_path = [f'{data_root}fcv_test_labels.mat']

train_num_sample = 45585
test_num_sample = 45600
