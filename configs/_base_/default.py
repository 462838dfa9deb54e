# What every run shares: the folder layout, the optimiser, the evaluation.
# Reads dataset and nbits, which the files above it set. The folders of a run follow from these and model_name.

# paths
home_root = ''
data_root = f'data/{dataset}/'
train_assist_path = f'{data_root}final_train_train_assit.h5'
latent_feat_path = f'{data_root}final_train_latent_feats.h5'
anchor_path = f'{data_root}final_train_anchors.h5'
sim_path = f'{data_root}final_train_sim_matrix.h5'
semantic_center_path = f'{data_root}semantic.h5'
hash_center_path = f'{data_root}hash_center_{nbits}.h5'
structure_path = f'{data_root}structure.h5'
save_dir = f'{home_root}checkpoint/{dataset}/'

# optimiser
optimizer_name = 'AdamW'
schedule = 'CosineAnnealingLR'
lr = 5e-4
min_lr = 1e-5
weight_decay = 1e-4
seed = 1

# evaluation
test_batch_size = 128
map_at = [5, 20, 40, 60, 80, 100]
eval_every = 20
