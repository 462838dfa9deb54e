"""What reading a video backwards too is worth, with weights of its own or shared."""

from tables import Row, Table

TABLE = Table(
    title="Directions",
    datasets=("digits",),
    rows=(
        Row("tied", "tied", "S5VH", {"directions": "tied"}, published=("S5VH", "mamba")),
        Row("separate", "separate", "S5VH", {"directions": "separate"}),
        Row("forward", "forward", "S5VH", {"directions": "forward"}),
    ),
)
