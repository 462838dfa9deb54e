"""Tables for papers: LaTeX with booktabs."""

from collections.abc import Collection, Sequence

PREAMBLE = "% \\usepackage{booktabs}\n"
_ESCAPED = str.maketrans({"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
                          "±": r"$\pm$", "<": "$<$", ">": "$>$", "−": "$-$", "→": r"$\to$",
                          **{sign: f"\\{sign}" for sign in "#$%&_{}"}})


def latex_table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]],
                bold: Collection[tuple[int, int]], notes: Sequence[str]) -> str:
    """A `table` of text cells, those at the places (row, column) of `bold` in bold, over its notes.

    Cells stand to the left: values of one precision line up, with a deviation behind them or without.
    """
    body = [[rf"\textbf{{{latex(cell)}}}" if (row, column) in bold else latex(cell)
             for column, cell in enumerate(cells)] for row, cells in enumerate(rows)]
    lines = [r"\toprule", _row(map(latex, columns)), r"\midrule", *map(_row, body), r"\bottomrule"]
    foot = [r"\end{tabular}", r"\par\smallskip\raggedright\footnotesize", *map(latex, notes), r"\end{table}", ""]
    return "\n".join([r"\begin{table}", r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
                      rf"\caption{{{latex(caption)}}}", rf"\begin{{tabular}}{{{'l' * len(columns)}}}", *lines, *foot])


def latex(text: str) -> str:
    """`text` as LaTeX shows it."""
    return text.translate(_ESCAPED)


def _row(cells) -> str:
    return " & ".join(cells) + r" \\"
