"""What the depth of the encoder is worth: 1, 6 or 12 blocks."""

from tables import Row, Table

TABLE = Table(
    title="Depth",
    datasets=("digits",),
    rows=(
        Row("mini", "mini", "S5VH", {"S5VH_type": "mini"}),
        Row("small", "small", "S5VH", {"S5VH_type": "small"}, published=("S5VH", "mamba")),
        Row("base", "base", "S5VH", {"S5VH_type": "base"}),
    ),
)
