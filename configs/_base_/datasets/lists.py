# Pictures of any size in a folder with lists of them, as DeepHash has them: a path and the label as 0 and 1 on each line.
data_root = f'data/{dataset}/'
item_shape = [256, 256, 3]
crop = 224

train_feat_path = train_label_path = [f'{data_root}train.txt']
test_feat_path = label_path = [f'{data_root}database.txt']
query_feat_path = query_label_path = [f'{data_root}test.txt']
