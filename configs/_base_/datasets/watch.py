# Shoulder exercises recorded by a smartwatch: windows of two seconds, 25 frames of 24 numbers, 7 classes; 749 queries of
# three people against a database of 1,620 of seven others, the training windows.
# `pip install seglearn==1.2.5` and `python -m dataset.watch` write it.
dataset = 'watch'
data_root = f'data/{dataset}/'
feature_size = 24
max_frames = 25

train_feat_path = [f'{data_root}watch_train_feats.h5']
train_label_path = [f'{data_root}watch_train_labels.mat']  # for what asks for labels; others never look
train_group_path = f'{data_root}watch_train_people.txt'  # read where videos are held out
test_feat_path = [f'{data_root}watch_train_feats.h5']
label_path = [f'{data_root}watch_train_labels.mat']
query_feat_path = [f'{data_root}watch_test_feats.h5']
query_label_path = [f'{data_root}watch_test_labels.mat']
class_name_path = f'{data_root}classes.txt'

train_num_sample = 1620
test_num_sample = 1620
query_num_sample = 749
