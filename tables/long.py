"""How well long videos are told apart, Mamba beside attention: the same moving digits in 25, 100 and 400 frames.

`frames` has the cost of such lengths. `--datasets digits1000` goes on to 1,000 frames.
"""

from tables import Row, Table

# The schedule of configs/S5VH/digits.py cut short in every row alike, so that 400 frames take minutes.
SCHEDULE = {"num_epochs": 10, "warm_up_epoch": 3}

TABLE = Table(
    title="Long videos",
    datasets=("digits", "digits100", "digits400"),
    rows=(
        Row("S5VH (Mamba)", "s5vh", "S5VH", SCHEDULE),
        Row("Transformer", "transformer", "Transformer", SCHEDULE),
    ),
    baselines=True,
    notes=(
        "digits100 and digits400 show digits under the same six motions, over the same paths, but in 100 and 400 "
        "frames in place of 25: more and finer steps of one movement, not more movement. Every cell trains on as many "
        "videos, for 10 epochs in place of 25: these figures are lower than those of a whole schedule.",
    ),
)
