"""What each term of the loss is worth; the weights of the full loss are the config's."""

from tables import Row, Table

TABLE = Table(
    title="Losses",
    datasets=("digits",),
    rows=(
        Row("full", "full", "S5VH", published=("S5VH", "mamba")),
        Row("without contrastive", "nocontrastive", "S5VH", {"alpha": 0}),
        Row("without centers", "nocentres", "S5VH", {"a_cluster": 0}),
        Row("reconstruction only", "reconstruction", "S5VH", {"alpha": 0, "a_cluster": 0}),
    ),
)
