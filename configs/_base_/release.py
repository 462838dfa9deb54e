# Every place where the S5VH release departs from its paper, set as the release has it.
model_name = 'S5VH_release'  # folders of its own
hash_center_mode = 'learned'  # its solved hash centers never reach the loss
pseudo_label_update = 'release'  # from logits before the hash layer's LayerNorm and without the loss's scale
tied_bits = 'zero'
mixer_init = 'xavier'
select = 'best_on_test'
