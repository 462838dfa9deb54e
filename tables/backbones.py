"""S5VH's method over different sequence mixers: what Mamba and its two directions are worth."""

from tables import Row, Table

TABLE = Table(
    title="Backbones",
    datasets=("digits",),
    rows=(
        Row("S5VH (Mamba), tied", "tied", "S5VH", {"directions": "tied"}),
        Row("S5VH (Mamba), separate", "separate", "S5VH", {"directions": "separate"}),
        Row("S5VH (Mamba), forward", "forward", "S5VH", {"directions": "forward"}),
        Row("LSTM", "lstm", "LSTM"),
        Row("RetNet", "retnet", "RetNet"),
        Row("RWKV", "rwkv", "RWKV"),
        Row("Transformer", "transformer", "Transformer"),
    ),
    baselines=True,
)
