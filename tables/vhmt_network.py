"""Table 3 of the VHMT paper: the depths of teacher and student, and how the teacher halves its frames."""

from tables import Row, Table


def _row(number: str, teacher: list[int], teacher_decoder: int, student: int, student_decoder: int, published: str,
         halving: str = "haar") -> Row:
    depths = f"{{{','.join(map(str, teacher))}}}, {teacher_decoder}, {student}, {student_decoder}"
    return Row(f"({number}) {halving} {depths}", number, "VHMT",
               {"teacher_depths": teacher, "teacher_decoder_depth": teacher_decoder, "student_depth": student,
                "student_decoder_depth": student_decoder, "student_views": "whole", "teacher_halving": halving},
               published=(f"VHMT [{published}]", ""))


TABLE = Table(
    title="Network of VHMT",
    datasets=("digits",),
    rows=(
        _row("I", [4, 2], 1, 3, 1, "I {4,2}/1/3/1 haar"),
        _row("II", [4, 2, 2], 1, 6, 1, "II {4,2,2}/1/6/1 haar"),
        _row("III", [8, 4, 2], 1, 6, 1, "III {8,4,2}/1/6/1 haar"),
        _row("IV", [8, 4, 2], 2, 12, 2, "IV {8,4,2}/2/12/2 haar"),
        _row("V", [16, 8, 4, 2], 2, 16, 2, "V {16,8,4,2}/2/16/2 haar"),
        _row("VI", [8, 4, 2], 1, 6, 1, "VI db4", halving="db4"),
        _row("VII", [8, 4, 2], 1, 6, 1, "VII sym8", halving="sym8"),
        _row("VIII", [8, 4, 2], 1, 6, 1, "VIII max pooling", halving="max"),
        _row("IX", [8, 4, 2], 1, 6, 1, "IX average pooling", halving="average"),
        Row("(X) no teacher, 6, 1", "X", "VHMT",
            {"student_depth": 6, "student_decoder_depth": 1, "student_views": "siamese"},
            published=("VHMT [X student only]", "")),
    ),
)
