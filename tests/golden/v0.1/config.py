# A resolved config. Loading it adds _<run_name> to file_path and log_path.

# model
model_name = 'S5VH'
method = None
mixer = None
nbits = 8
feature_size = 8
max_frames = 6
hidden_size = 32
decoder_size = 16
S5VH_type = 'mini'
directions = 'tied'
drop_path_rate = 0.5
mixer_init = 'own'
student_depth = 6
student_decoder_depth = 1
student_views = 'whole'
teacher_depths = [8, 4, 2]
teacher_decoder_depth = 1
teacher_halving = 'haar'
teacher_mixer = 'attention'
teacher_enhancement = 'tre'
teacher_dropout = 0.1
tied_bits = 'sign'
scan_engine = 'auto'
use_checkpoint = None

# data
dataset = 'tiny'
data_root = '/tmp/tiny/data/'
train_feat_path = ['/tmp/tiny/data/train.h5']
test_feat_path = ['/tmp/tiny/data/database.h5']
label_path = ['/tmp/tiny/data/database.mat']
query_feat_path = ['/tmp/tiny/data/query.h5']
query_label_path = ['/tmp/tiny/data/query.mat']
feat_key = 'feats'
label_key = None
query_label_key = None
class_name_path = None
frame_shape = None
self_retrieval = None
train_num_sample = None
test_num_sample = None
query_num_sample = None
workers = None

# preprocess
preprocess_seed = 1
latent_dim_pca = 6
nclusters = 4
num_anchor_neighbours = 5
nanchors = 2000
initWithCSQ = True
rho = 5e-05
gamma = 1.618033988749895
hash_center_assign = 'solver'
latent_feat_path = '/tmp/tiny/data/final_train_latent_feats.h5'
anchor_path = '/tmp/tiny/data/final_train_anchors.h5'
train_assist_path = '/tmp/tiny/data/final_train_train_assit.h5'
sim_path = '/tmp/tiny/data/final_train_sim_matrix.h5'
semantic_center_path = '/tmp/tiny/data/semantic.h5'
hash_center_path = '/tmp/tiny/data/hash_center_8.h5'
structure_path = '/tmp/tiny/data/structure.h5'

# train
seed = 1
num_epochs = 3
batch_size = 16
batch_source = 'auto'
mask_ratio = 0.5
alpha = 1.0
reconstruction_weight = 1.0
structure_weight = 0.1
distill_reconstruction = 1.0
distill_attention = 0.1
temperature = 0.5
tau_plus = 0.1
a_cluster = 0.1
temperature_cluster = 0.5
hash_center_mode = 'fixed'
pseudo_label_update = 'normalised'
pseudo_label_temperature = 0.05
warm_up_epoch = 1
smoothing_alpha = 0.01
optimizer_name = 'AdamW'
schedule = 'CosineAnnealingLR'
lr = 0.0005
min_lr = 1e-05
weight_decay = 0.0001
grad_clip = 0.0
amp = 'none'
early_stop = 0
deterministic = False
compile = False
cuda_graph = False

# evaluation
test_batch_size = 128
map_at = [1, 5]
eval_every = 2
select = 'last'
ap_normaliser = 'k'

# output
home_root = '/tmp/tiny/'
save_dir = '/tmp/tiny/checkpoint/tiny/'
file_path = '/tmp/tiny/checkpoint/tiny/S5VH_8bit'
log_path = '/tmp/tiny/logs/tiny/S5VH_8bit'
run_name = 'cut'
save_every = 1
