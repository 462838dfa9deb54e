# MambaHash as its authors' program trains it, from GroupMamba's weights.
_base_ = 'pictures.py'

method = 'mambahash'
model_name = 'MambaHash'
backbone_weights = 'data/groupmamba_small_ema.pth'
schedule = 'constant'
lr = 2e-5
weight_decay = 1e-7
batch_size = 32
num_epochs = 8
seed = 2025
