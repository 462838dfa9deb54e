"""VHMT with and without its teacher, beside S5VH, whose encoder its student is; AP divided by K throughout."""

from tables import Row, Table

BY_K = {"ap_normaliser": "k"}  # as S5VH's

TABLE = Table(
    title="VHMT",
    datasets=("digits",),
    rows=(
        Row("S5VH", "s5vh", "S5VH", BY_K, published=("S5VH", "mamba")),
        Row("VHMT", "vhmt", "VHMT", BY_K),
        Row("VHMT, masked student", "masked", "VHMT", BY_K | {"student_views": "masked"}),
        Row("VHMT without teacher", "noteacher", "VHMT", BY_K | {"student_views": "siamese"}),
    ),
    baselines=True,
)
