"""Where hash centres come from, how they are given to clusters, and how many there are (C)."""

from tables import Row, Table

FIXED = {"hash_center_mode": "fixed"}  # said in every row: the release's configs learn them

TABLE = Table(
    title="Hash centres",
    datasets=("digits",),
    rows=(
        Row("fixed, as configured", "fixed", "S5VH", FIXED, published=("S5VH", "mamba")),
        Row("learned", "learned", "S5VH", {"hash_center_mode": "learned"}),
        Row("fixed, by semantics", "semantic", "S5VH", FIXED | {"hash_center_assign": "semantic"}),
        Row("fixed, random start", "randomstart", "S5VH", FIXED | {"initWithCSQ": False}),
        *(Row(f"fixed, C = {number}", f"c{number}", "S5VH", FIXED | {"nclusters": number})
          for number in (25, 50, 100, 200)),
    ),
)
