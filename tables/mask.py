"""How many frames of a view should be hidden."""

from tables import Row, Table

TABLE = Table(
    title="Mask ratio",
    datasets=("digits",),
    rows=(
        *(Row(f"{ratio:.2f}", f"{ratio:.2f}", "S5VH", {"mask_ratio": ratio}) for ratio in (0.25, 0.5, 0.75)),
    ),
)
