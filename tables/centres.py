"""Where hash centres come from, how they are given to clusters, and how many there are (C)."""

from tables import Row, Table

TABLE = Table(
    title="Hash centres",
    datasets=("digits",),
    rows=(
        Row("fixed, as configured", "fixed", "S5VH", published=("S5VH", "mamba")),
        Row("learned", "learned", "S5VH", {"hash_center_mode": "learned"}),
        Row("fixed, by semantics", "semantic", "S5VH", {"hash_center_assign": "semantic"}),
        Row("fixed, random start", "randomstart", "S5VH", {"initWithCSQ": False}),
        *(Row(f"fixed, C = {count}", f"c{count}", "S5VH", {"nclusters": count}) for count in (25, 50, 100, 200)),
    ),
)
