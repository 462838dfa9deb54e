# What every run shares: the folder layout, the optimiser, the evaluation.
# Reads dataset and nbits, which the files above it set. The folders of a run follow from these and model_name.

# paths
home_root = ''
data_root = f'data/{dataset}/'
save_dir = f'{home_root}checkpoint/{dataset}/'
artefact_root = f'{save_dir}artefacts/'

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
