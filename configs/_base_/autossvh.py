# AutoSSVH as its release trains it, which its datasets share (docs/field.md has what the paper does otherwise).
_base_ = 'conmh.py'  # whose networks it has

method = 'autossvh'
prototypes = 'means'
frame_sampling = 'random'
prototype_clusters = [250, 400, 600]
prototype_weight = 0.01
min_lr = 1e-6
