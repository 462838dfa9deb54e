# ConMH, as all its datasets share it (docs/field.md).
_base_ = 'masked.py'

method = 'conmh'
hidden_size = 256
decoder_size = 192
encoder_depth = 12
encoder_heads = 6  # 42 wide
decoder_depth = 2
decoder_heads = 3
