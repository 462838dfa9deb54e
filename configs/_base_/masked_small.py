# What ConMH and AutoSSVH share on the sample sets, sized for two CPU cores.
nbits = 16
hidden_size = 128
decoder_size = 96
encoder_depth = 2
encoder_heads = 4
decoder_depth = 1
batch_size = 64
eval_every = 10
schedule = 'CosineAnnealingLR'  # as few epochs as there are too few for the papers' steps
lr = 1e-3
min_lr = 1e-5
tau_plus = 0.05
