# AutoSSVH as its release trains it, which its datasets share (docs/field.md has what the paper does otherwise).
_base_ = 'masked.py'

method = 'autossvh'
hidden_size = 256
decoder_size = 192
encoder_depth = 12
encoder_heads = 6  # 42 wide
decoder_depth = 2
decoder_heads = 3

prototypes = 'means'
frame_sampling = 'random'
prototype_clusters = [250, 400, 600]
prototype_weight = 0.01
min_lr = 1e-6
