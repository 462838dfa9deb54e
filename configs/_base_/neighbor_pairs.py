# What BTH, DKPH and MCMSH share: the network whose latents tell which videos are neighbors, and the optimiser (docs/field.md).
_base_ = 'default.py'

nbits = 64
hidden_size = 256
latent_epochs = 56
nanchors = 2000

batch_size = 256
num_epochs = 56
optimizer_name = 'Adam'
schedule = 'StepLR'
lr = 3e-4
min_lr = 1e-4
weight_decay = 0.0
