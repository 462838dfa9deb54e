# VHMT, as all its datasets share it (docs/vhmt.md says where the paper is silent and what was chosen).
# --mixer lstm, or --model_name LSTM, trains an LSTM as the student.
_base_ = 'default.py'

method = 'vhmt'
nbits = 64
hidden_size = 256
decoder_size = 192
student_depth = 6
student_decoder_depth = 1
student_views = 'whole'
directions = 'tied'
drop_path_rate = 0.5
teacher_depths = [8, 4, 2]
teacher_decoder_depth = 1
teacher_halving = 'haar'
teacher_mixer = 'attention'
teacher_enhancement = 'tre'

latent_dim_pca = 512
nanchors = 2000

batch_size = 512
mask_ratio = 0.5  # where views are masked
reconstruction_weight = 1.0  # the paper's alpha
alpha = 1.0  # its beta, of the contrastive loss
structure_weight = 0.1  # its gamma
distill_reconstruction = 1.0
distill_attention = 0.1
temperature = 0.5
tau_plus = 0.1  # its rho

optimizer_name = 'Adam'
schedule = 'StepLR'  # times .9 every 20 epochs: "reduced by 90%" in the paper
lr = 1e-4
min_lr = 1e-6
weight_decay = 0.0

ap_normaliser = 'min_kr'  # eq. 28
