"""What of a page goes into papers: its figures, each as a file of its own."""

import os
import re
import xml.etree.ElementTree as xml
from pathlib import Path

from inference.figures import is_standalone, standalone
from utils.files.writing import make_folder, whole_file, write_text


def write_figures(folder: str | os.PathLike, page: str) -> list[Path]:
    """[`folder`], with an SVG file for each figure of the text of a `page`, named after its section and title; where
    cairosvg is installed, also a PDF file. Those of an earlier page go. A page without figures: [].

    Raises:
        UserError: the folder or a file cannot be written.
    """
    earlier = {path.stem for path in Path(folder).glob("*.svg") if is_standalone(path.read_bytes())}
    figures = {re.sub(r"\W+", "_", f"{section.get('id')} {figure.findtext('h3')}".lower()).strip("_"): figure
               for section in xml.fromstring(page).iter("section") for figure in section.iter("figure")}
    for name, figure in figures.items():
        picture = standalone(figure)
        write_text(make_folder(folder) / f"{name}.svg", picture)
        _write_pdf(Path(folder) / f"{name}.pdf", picture)
    for name in earlier - figures.keys():
        for ending in "svg", "pdf":
            Path(folder, f"{name}.{ending}").unlink(missing_ok=True)
    return [Path(folder)] * bool(figures)


def _write_pdf(path: Path, picture: str) -> None:
    try:
        from cairosvg import svg2pdf
    except (ImportError, OSError):  # not installed, or without the library that it wraps
        return
    with whole_file(path) as part:
        part.write_bytes(svg2pdf(bytestring=picture.encode()))
