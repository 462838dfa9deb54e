# The sample dataset (docs/sample_dataset.md): moving digits, 25 frames of 24 x 24 pixels, 60 classes;
# 600 queries against a database of 2,040, the training videos. `python -m dataset.digits` writes it.
dataset = 'digits'
data_root = f'data/{dataset}/'
feature_size = 576
max_frames = 25
frame_shape = [24, 24]

train_feat_path = [f'{data_root}digits_train_feats.h5']
train_label_path = [f'{data_root}digits_train_labels.mat']  # for what asks for labels; others never look
test_feat_path = [f'{data_root}digits_train_feats.h5']
label_path = [f'{data_root}digits_train_labels.mat']
query_feat_path = [f'{data_root}digits_test_feats.h5']
query_label_path = [f'{data_root}digits_test_labels.mat']
class_name_path = f'{data_root}classes.txt'

train_num_sample = 2040
test_num_sample = 2040
query_num_sample = 600
