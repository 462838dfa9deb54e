# S5VHplus, as all its datasets share it: S5VH's encoder over half-whitened frames, codes in time order, and the closed
# form's codes to follow. The other losses are off, as they added nothing beside these (docs/s5vh_plus.md).
_base_ = 'default.py'

method = 's5vh'
model_name = 'S5VHplus'
nbits = 64
S5VH_type = 'mini'
hidden_size = 128
decoder_size = 96
directions = 'separate'
drop_path_rate = 0.0

frame_input = 'whitened'
input_dims = 64
pooling = 'ordered'
head_dropout = 0.3
semantics = 'graph'
center_solver = 'descent'
# Artefacts of another clustering than S5VH's, under names of their own beside it.
anchor_path = f'{artefact_root}anchors_graph.h5'
train_assist_path = f'{artefact_root}pseudo_labels_graph.h5'
semantic_center_path = f'{artefact_root}semantic_graph.h5'
hash_center_path = f'{artefact_root}hash_center_{nbits}_graph.h5'

teacher_weight = 1.0
view_warp = 0.06
channel_dropout = 0.2
mixup = 0.4
mask_ratio = 0.3
reconstruction_weight = 0.0
alpha = 0.0
a_cluster = 0.0
pseudo_label_update = 'frozen'

num_epochs = 80
batch_size = 128
lr = 1e-3
weight_decay = 1e-2
