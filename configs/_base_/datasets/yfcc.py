# YFCC100M: VGG features of 25 frames; 1,000 queries against a database of 101,256 in 80 classes.
# The features come in several files, read as one. Their names and numbers are those ConMH's release reads;
# where yours differ, list them in a config of your own.
dataset = 'yfcc'
data_root = f'data/{dataset}/'
feature_size = 4096
max_frames = 25

train_feat_path = [f'{data_root}yfcc_train_feats_{part}.h5' for part in range(1, 10)]
test_feat_path = [f'{data_root}yfcc_test_feats_{part}.h5' for part in range(1, 3)]
label_path = [f'{data_root}yfcc_test_labels_{part}.mat' for part in range(1, 3)]
query_feat_path = [f'{data_root}query1000_feats.h5']
query_label_path = [f'{data_root}query1000_labels.mat']

train_num_sample = 409788
test_num_sample = 101256
query_num_sample = 1000
