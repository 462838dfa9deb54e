# S5VH, as all its datasets share it. Another mixer: --mixer lstm, or --model_name LSTM, which also names its folders so.
_base_ = 'default.py'

method = 's5vh'
nbits = 64
hidden_size = 256
decoder_size = 192
S5VH_type = 'small'
directions = 'tied'
drop_path_rate = 0.5

latent_dim_pca = 512
initWithCSQ = True
rho = 5e-5
gamma = (1 + 5 ** 0.5) / 2

num_epochs = 350
batch_size = 128
mask_ratio = 0.5
temperature = 0.5
temperature_cluster = 0.5
warm_up_epoch = 50
smoothing_alpha = 0.01
