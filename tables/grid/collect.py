"""Copies the tables that reproduce.py has written into a document, between two marks.

    python -m tables.grid.collect [--results results] [--into docs/results.md]

Each comes with its command and with when and on what it was made. It replaces the one of the same heading and datasets;
tables that the folder lacks stay as they are. Of a long table the charts are shown, copied to images/ beside the
document, and its rows are folded.
"""

import argparse
import re
from pathlib import Path

from utils.cli import close_with, counted, run_script
from utils.errors import UserError
from utils.files.writing import make_folder, write_text

MOST_ROWS = 24
BEGIN, END = "<!-- tables: begin -->\n", "<!-- tables: end -->\n"


def with_tables(text: str, documents: list[str], source: str) -> str:
    """`text` with the `documents`, Markdown as reproduce.py writes it, between its marks, headings two levels lower.

    They stand in the order of their headings, among those that are there already and none of them replaces.

    Raises:
        UserError: `text`, called `source`, lacks a mark.
    """
    _, old, _ = _parted(text, source)
    there = re.split(r"^(?=### )", old, flags=re.MULTILINE)
    parts = [re.sub(r"\A# ", "### ", document.strip()) for document in [*there, *documents]]
    newest = {_name(part): part for part in parts if part.startswith("### ")}
    tables = "".join(f"{newest[name]}\n\n" for name in sorted(newest))
    return between_marks(text, tables.replace("\n\n\n", "\n\n"), source)


def between_marks(text: str, tables: str, source: str) -> str:
    """`text` with `tables` in place of what stands between its marks.

    Raises:
        UserError: `text`, called `source`, lacks a mark.
    """
    before, _, after = _parted(text, source)
    return before + BEGIN + tables + END + after


def _parted(text: str, source: str) -> tuple[str, str, str]:
    """What stands before, between and after the marks."""
    before, begin, rest = text.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError(f"{source}: the lines {BEGIN.strip()} and {END.strip()} are not there. Add them where the "
                        "tables should stand.")
    return before, old, after


def _name(table: str) -> str:
    """The heading of a table and the datasets that its command names."""
    datasets = re.search(r"^    .*--datasets((?: \w+)+)", table, re.MULTILINE)
    return table.partition("\n")[0] + (datasets[1] if datasets else "")


def shown(path: Path, images: Path) -> str:
    """The document at `path`; where its table is long, over it the charts of the folder beside it, which are copied to
    `images`, and its rows folded."""
    text = path.read_text(encoding="utf-8")
    rows = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    charts = sorted(path.with_name(f"{path.stem}_figures").glob("*.svg"))
    if rows is None or not charts or (count := rows[0].count("\n") - 2) <= MOST_ROWS:
        return text
    links = []
    for chart in charts:
        name = f"{path.stem}_{chart.name}"
        light = chart.read_text(encoding="utf-8").replace("<svg ", '<svg style="background: #fff" ', 1)
        write_text(make_folder(images) / name, light)  # on a dark page too
        about = chart.stem.replace("_", " ")
        links.append(f"{about}:\n\n![{about}]({images.name}/{name})\n\n")
    folded = f"<details><summary>All {count} rows</summary>\n\n{rows[0]}\n</details>\n"
    return text.replace(rows[0], "".join(links) + folded)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tables.grid.collect", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", default="results", metavar="DIR", help="where they are (default: %(default)s)")
    parser.add_argument("--into", default="docs/results.md", metavar="FILE", help="the document (default: %(default)s)")
    arguments = parser.parse_args()
    paths, target = sorted(Path(arguments.results).glob("*.md")), Path(arguments.into)
    if not paths:
        raise UserError(f"{arguments.results}: no table is here. Make one with reproduce.py, or name its --out folder.")
    text = target.read_text(encoding="utf-8")
    write_text(target, with_tables(text, [shown(path, target.parent / "images") for path in paths], str(target)))
    close_with([f"{target}, {counted(len(paths), 'table')} from {arguments.results}"])


if __name__ == "__main__":
    run_script(main)
