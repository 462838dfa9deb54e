# What the three share on the sample sets, sized for two CPU cores: the epochs and the rate of S5VH there.
nbits = 16
hidden_size = 128
latent_epochs = 10
latent_lr = 2e-3
nanchors = 100

batch_size = 64
schedule = 'CosineAnnealingLR'
lr = 2e-3
min_lr = 1e-5
eval_every = 10
