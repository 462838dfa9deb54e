"""Tables of a page."""

from collections.abc import Sequence

from inference.figures import Markup, tag

FEW = 3  # points that are no curve


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, class_: str | None = None,
          marked: int | None = None, label: str = "table") -> Markup:
    """A table that scrolls inside its own box where it is wider than the page; the first cell of a row heads it.

    The row at `marked` stands out. `label` tells the tables of a page apart for those who hear it.
    """
    head = tag("tr", *(tag("th", name, scope="col") for name in columns))
    body = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:]),
                class_="own" if place == marked else None) for place, row in enumerate(rows)]
    return scrolling(tag("table", tag("thead", head), tag("tbody", *body), class_=class_), label)


def scrolling(content: Markup, label: str) -> Markup:
    """`content` in a box that scrolls sideways, by the keyboard too."""
    return tag("div", content, class_="scroll", tabindex="0", role="region", aria_label=label)


def number(value: object) -> str:
    """A metric to four decimals; any other value as it is; "-" for none."""
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
