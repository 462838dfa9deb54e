"""What each backbone costs to encode with: parameters, operations, time and memory, at the sizes of a config."""

from tables import Row, Table

TABLE = Table(
    title="Efficiency",
    datasets=("digits", "act"),
    rows=(
        Row("S5VH (Mamba), tied", "tied", "S5VH", {"directions": "tied"}),
        Row("S5VH (Mamba), separate", "separate", "S5VH", {"directions": "separate"}),
        Row("S5VH (Mamba), forward", "forward", "S5VH", {"directions": "forward"}),
        Row("LSTM", "lstm", "LSTM"),
        Row("RetNet", "retnet", "RetNet"),
        Row("RWKV", "rwkv", "RWKV"),
        Row("Transformer", "transformer", "Transformer"),
    ),
    trained=False,
)
