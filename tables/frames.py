"""What longer videos cost to encode: Mamba in both directions and in one beside attention, from 25 to 2,000 frames.

Answers the cost half of "what becomes of very long sequences"; `long` answers the other half, mAP.
"""

from tables import Row, Table

LENGTHS = 25, 50, 100, 200, 250, 500, 1000, 2000

TABLE = Table(
    title="Cost by number of frames",
    datasets=("digits", "act"),
    rows=tuple(
        Row(label, f"{name}{frames}", model, settings | {"max_frames": frames})
        for label, name, model, settings in (("S5VH (Mamba), tied", "tied", "S5VH", {"directions": "tied"}),
                                             ("S5VH (Mamba), forward", "forward", "S5VH", {"directions": "forward"}),
                                             ("Transformer", "transformer", "Transformer", {}))
        for frames in LENGTHS),
    trained=False,
)
