"""The tables that `reproduce.py` makes. The folder is the registry: a new table is a new file with a `TABLE`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

NOT_LISTED = ("grid",)  # a package that is no table

# Profile -> model -> the model whose configs stand in for its own: S5VH as its paper has it, or as its release does.
PROFILES: dict[str, dict[str, str]] = {"paper": {}, "release": {"S5VH": "S5VH_release"}}


@dataclass(frozen=True)
class Row:
    """One network, trained once for every dataset, code length and seed of its table.

    `label` is what the table shows, `name` what the folders of its runs are called after. Its configs are
    configs/<model>/<dataset>.py; `settings` are set over them. `published` is the (method, backbone) of published.csv
    that it answers to.
    """

    label: str
    name: str
    model: str
    settings: Mapping[str, object] = field(default_factory=dict)
    published: tuple[str, str] | None = None


@dataclass(frozen=True)
class Table:
    """What a table compares: `rows` on `datasets` at `bits` (by default; the command line may name others).

    `bits`: code lengths; none: each config's own. `baselines`: all shallow codes of `inference.baselines` stand below
    the rows, not the one to beat alone. `trained`: False where only costs are compared, which a network has before any
    training: nothing is read, trained or kept. `transfer`: dataset -> the dataset on which its networks are evaluated
    as well. `notes`: what a reader of the table must know beside its columns, a line each.
    """

    title: str
    datasets: tuple[str, ...]
    rows: tuple[Row, ...]
    baselines: bool = False
    bits: tuple[int, ...] = ()
    trained: bool = True
    transfer: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [row.name for row in self.rows]
        assert len(set(names)) == len(names), f"two rows of a table are called alike: {names}"
        # without "_", <table>_<row>_seed<seed> is another name for every table, row and seed
        assert all(re.fullmatch(r"[A-Za-z0-9.+=-]+", name) for name in names), names


def in_profile(table: Table, profile: str) -> Table:
    """`table` with the configs of `profile`, a key of `PROFILES`."""
    models = PROFILES[profile]
    return replace(table, rows=tuple(replace(row, model=models.get(row.model, row.model)) for row in table.rows))
