"""S5VH's method over different sequence mixers: what Mamba and its two directions are worth."""

from tables import Row, Table

TABLE = Table(
    title="Backbones",
    datasets=("digits",),
    rows=(
        Row("S5VH (Mamba), tied", "tied", "S5VH", {"directions": "tied"}, published=("S5VH", "mamba")),
        Row("S5VH (Mamba), separate", "separate", "S5VH", {"directions": "separate"}),
        Row("S5VH (Mamba), forward", "forward", "S5VH", {"directions": "forward"}),
        Row("LSTM", "lstm", "LSTM"),
        Row("RetNet", "retnet", "RetNet", published=("S5VH", "retnet")),
        Row("RWKV", "rwkv", "RWKV", published=("S5VH", "rwkv")),
        Row("Transformer", "transformer", "Transformer"),
    ),
    baselines=True,
)
