"""Table 5 of the VHMT paper: what each term of the loss is worth; the weights of the full loss are the config's.

The paper's loss has no term for the distillation. Here following the teacher's reconstructions goes where L_rec goes,
and following its attention outputs stays but where a row has a single term. The last rows leave distillation out.
"""

from tables import Row, Table

NO_RECONSTRUCTION = {"reconstruction_weight": 0, "distill_reconstruction": 0}
NO_CONTRAST, NO_STRUCTURE, NO_ATTENTION = {"alpha": 0}, {"structure_weight": 0}, {"distill_attention": 0}


def _row(label: str, name: str, settings: dict, published: str | None = None) -> Row:
    return Row(label, name, "VHMT", settings, published=(published, "mamba student") if published else None)


TABLE = Table(
    title="Losses of VHMT",
    datasets=("digits",),
    rows=(
        _row("(I) reconstruction only", "I", NO_CONTRAST | NO_STRUCTURE | NO_ATTENTION, "VHMT [loss: rec only]"),
        _row("(II) contrastive only", "II", NO_RECONSTRUCTION | NO_STRUCTURE | NO_ATTENTION, "VHMT [loss: ctr only]"),
        _row("(III) structure only", "III", NO_RECONSTRUCTION | NO_CONTRAST | NO_ATTENTION, "VHMT [loss: sim only]"),
        _row("(IV) without reconstruction", "IV", NO_RECONSTRUCTION, "VHMT [loss: w/o rec]"),
        _row("(V) without contrastive", "V", NO_CONTRAST, "VHMT [loss: w/o ctr]"),
        _row("(VI) without structure", "VI", NO_STRUCTURE, "VHMT [loss: w/o sim]"),
        _row("(VII) full", "VII", {}, "VHMT"),
        _row("without distilled reconstruction", "norec", {"distill_reconstruction": 0}),
        _row("without distilled attention", "noatt", NO_ATTENTION),
        _row("without distillation", "nodistill", {"distill_reconstruction": 0} | NO_ATTENTION),
    ),
)
