"""S5VH on the four datasets of its paper, beside what is published of it and shallow codes of the same lengths."""

from tables import Row, Table

TABLE = Table(
    title="S5VH",
    datasets=("act", "fcv", "ucf", "hmdb"),
    bits=(16, 32, 64),
    rows=(Row("S5VH", "s5vh", "S5VH", published=("S5VH", "mamba")),),
    baselines=True,
)
