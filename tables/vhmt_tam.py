"""Table 4 of the VHMT paper: the parts of the teacher's temporal attention module."""

from tables import Row, Table


def _row(label: str, name: str, mixer: str, enhancement: str, published: str) -> Row:
    return Row(label, name, "VHMT", {"teacher_mixer": mixer, "teacher_enhancement": enhancement},
               published=(published, "mamba student"))


TABLE = Table(
    title="Temporal attention module of VHMT",
    datasets=("digits",),
    rows=(
        _row("(I) attention alone", "I", "attention", "none", "VHMT [TAM: MHA only]"),
        _row("(II) attention, MLP", "II", "attention", "mlp", "VHMT [TAM: MHA+MLP]"),
        _row("(III) attention, KAN", "III", "attention", "kan", "VHMT [TAM: MHA+KAN]"),
        _row("(IV) Mamba, TRE", "IV", "mamba", "tre", "VHMT [TAM: Mamba+TRE]"),
        _row("(V) attention, TRE", "V", "attention", "tre", "VHMT"),
    ),
)
