"""Methods that hash labelled pictures, each as its paper has it but for the size of the network."""

from tables import Row, Table

TABLE = Table(
    title="Image methods",
    datasets=("digit_pictures",),
    rows=tuple(Row(name, name.lower(), name) for name in ("SHC", "CSQ", "OrthoHash", "GreedyHash", "HashNet", "DPSH",
                                                        "MambaHash")),
    baselines=True,
    notes=("All see the labels of the training pictures; the shallow codes see pixels alone.",),
)
