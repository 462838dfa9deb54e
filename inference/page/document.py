"""The page around the sections: header, style, contents, config.

A section is a module with `section(subject) -> Markup`, listed here. Its numbers come from `inference.curves`,
`intervals` and `statistics`, which are tested apart.
"""

import os
from collections.abc import Callable
from pathlib import Path

from inference.figures import STYLE, Markup, tag
from inference.page import codes, quality, rankings, training
from inference.page.files import write_figures
from inference.page.headline import headline, methods_as_latex
from inference.page.picture import picture
from inference.page.subject import Subject
from utils.files.writing import whole_file, write_text

_STYLE = Path(__file__).with_name("page.css")
_SECTIONS: dict[str, tuple[str, Callable[[Subject], Markup]]] = {
    "retrieval": ("Retrieval", quality.section),
    "training": ("Training", training.section),
    "codes": ("Codes", codes.section),
    "rankings": ("Rankings", rankings.section),
}


def write_page(folder: str | os.PathLike, subject: Subject) -> list[Path]:
    """What it writes into `folder`: report.html, the folder `figures` and, beside baselines, report.tex.

    Raises:
        UserError: a folder or a file cannot be written.
    """
    page, written, figures = page_text(subject), [Path(folder) / "report.html"], Path(folder) / "figures"
    write_text(written[0], page)
    written += write_figures(figures, page)
    if pixels := picture(subject):
        with whole_file(figures / "hits.png") as part:
            part.write_bytes(pixels)
    if subject.baselines:
        written.append(Path(folder) / "report.tex")
        write_text(written[-1], methods_as_latex(subject))
    return written


def page_text(subject: Subject) -> str:
    """The page, well-formed as XML too; nothing in it is loaded from elsewhere."""
    title = f"{subject.name} on {subject.config.dataset}, {subject.config.nbits} bits"
    sections = [tag("section", tag("h2", name), make(subject), id=key) for key, (name, make) in _SECTIONS.items()]
    return html_page(title, _header(subject, title), tag("main", *sections, _config(subject)))


def html_page(title: str, *content: Markup) -> str:
    """A whole page of `content`, in light and dark mode, that loads nothing; well-formed as XML too."""
    style = Markup(STYLE + _STYLE.read_text(encoding="utf-8"))
    head = tag("head", tag("meta", charset="utf-8"),
               tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
               tag("meta", name="color-scheme", content="light dark"), tag("title", title), tag("style", style))
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', *content), lang='en')}\n"


def _header(subject: Subject, title: str) -> Markup:
    links = [tag("a", name, href=f"#{key}") for key, (name, _) in _SECTIONS.items()]
    facts = [tag("div", tag("dt", name), tag("dd", value)) for name, value in _facts(subject).items() if value]
    return tag("header", tag("h1", title), headline(subject), tag("dl", *facts, class_="facts"),
               tag("nav", *links, tag("a", "Config", href="#config"), aria_label="sections"))


def _facts(subject: Subject) -> dict[str, str]:
    config, evaluation = subject.config, subject.evaluation
    own = "" if not evaluation.queries_are_database else (
        ", each in its own ranking" if evaluation.include_self else ", each left out of its own ranking")
    lacking = evaluation.num_without_relevant
    return {
        "Model": config.model_name, "Dataset": config.dataset, "Code": f"{config.nbits} bits",
        "Seed": str(config.seed), "Run": config.run_name,
        "Epoch": f"{subject.epoch} of {config.num_epochs}" if subject.epoch else "",
        "Queries": f"{evaluation.num_queries:,}{own}" + (f", {lacking} with nothing relevant" if lacking else ""),
        "Database": f"{evaluation.num_database:,} {subject.noun}s", "AP divided by": evaluation.normaliser,
        "Evaluated": subject.date, "Checkpoint": str(subject.checkpoint),
    }


def _config(subject: Subject) -> Markup:
    return tag("section", tag("h2", "Config"),
               tag("details", tag("summary", "Every resolved setting"),
                   tag("pre", subject.config.as_text(), tabindex="0")), id="config")
