"""What labels of training videos are worth: they make clusters of their classes, and their codes go to the centers."""

from tables import Row, Table

LABELLED = {"supervised": True, "a_cluster": 1.0}

TABLE = Table(
    title="Supervision",
    datasets=("digits",),
    rows=(
        Row("no labels", "0", "S5VHplus"),
        *(Row(f"{share} % of the labels", str(share), "S5VHplus", LABELLED | {"train_label_share": share / 100})
          for share in (1, 10, 100)),
    ),
    notes=("Labelled videos make clusters of their classes; videos without a label join the nearest cluster.",),
)
