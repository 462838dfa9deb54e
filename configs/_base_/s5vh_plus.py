# S5VH+, as all its datasets share it (docs/s5vh_plus.md).
_base_ = 'default.py'

method = 's5vh_plus'
nbits = 64
S5VH_type = 'mini'
hidden_size = 128
decoder_size = 96
directions = 'separate'
drop_path_rate = 0.0

frame_input = 'whitened'
input_dims = 64
pooling = 'ordered'
semantics = 'graph'
center_solver = 'descent'
# Artefacts under names of their own beside those of S5VH.
train_assist_path = f'{data_root}pseudo_labels_graph.h5'
anchor_path = f'{data_root}anchors_graph.h5'
semantic_center_path = f'{data_root}semantic_graph.h5'
hash_center_path = f'{data_root}hash_center_{nbits}_graph.h5'

num_epochs = 80
batch_size = 128
mask_ratio = 0.5
warm_up_epoch = 80
lr = 1e-3
min_lr = 1e-5
weight_decay = 1e-2
