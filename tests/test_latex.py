"""Tables as LaTeX: every sign that LaTeX would read is escaped, the best is bold."""

import shutil
import subprocess

import pytest

from inference.latex import PREAMBLE, latex, latex_table


def test_a_table():
    rows = [["a_1", "0.5000 ± .0100"], ["b", "-"]]
    assert latex_table("A & b", ["model", "mAP@5"], rows, {(0, 1)}, ["All 5 %."]) == (
        "\\begin{table}\n\\centering\\footnotesize\\setlength{\\tabcolsep}{3pt}\n\\caption{A \\& b}\n"
        "\\begin{tabular}{ll}\n\\toprule\n"
        "model & mAP@5 \\\\\n\\midrule\na\\_1 & \\textbf{0.5000 $\\pm$ .0100} \\\\\nb & - \\\\\n\\bottomrule\n"
        "\\end{tabular}\n\\par\\smallskip\\raggedright\\footnotesize\nAll 5 \\%.\n\\end{table}\n")


def test_signs_of_latex_are_escaped():
    assert latex("#1 $ {x} ~ ^ a\\b A->B") == (
        r"\#1 \$ \{x\} \textasciitilde{} \textasciicircum{} a\textbackslash{}b A-$>$B")


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no LaTeX here")
def test_latex_sets_it(tmp_path):
    table = latex_table("50 % ^", ["a_b", "c"], [["x & y", "1 ± 2"]], {(0, 1)}, ["A->B, #1"])
    (tmp_path / "t.tex").write_text("\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
                                    f"{PREAMBLE}{table}\\end{{document}}\n")
    subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
