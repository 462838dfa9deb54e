"""MambaHash on the datasets of its paper, beside methods over a ResNet; DPSH has its loss."""

from tables import Row, Table

TABLE = Table(
    title="MambaHash",
    datasets=("cifar10", "nuswide", "imagenet"),
    bits=(16, 32, 48, 64),
    rows=tuple(Row(name, name.lower(), name) for name in ("MambaHash", "DPSH", "HashNet", "CSQ")),
    notes=("All see the labels of the training pictures.",),
)
