"""How the codes use their bits, and how they lie in Hamming space. N videos, K bits, U different codes, C centers."""

import numpy as np

from inference.codes import is_binary, pack
from inference.figures import (
    Axes,
    Bars,
    Line,
    Markup,
    bar_chart,
    figure,
    heat_map,
    join,
    line_chart,
    point_class,
    scatter,
    series_names,
    tag,
)
from inference.page.embedding import MOST_POINTS, embed
from inference.page.subject import Subject
from inference.page.table import table
from inference.ranking import hamming
from inference.statistics import bit_correlation, code_usage

_SEED = 1
_NUM_COLOURED = 6  # as many as there are colours
_FREQUENT = 10
_ROWS_AT_ONCE = 1024


def section(subject: Subject) -> Markup:
    """The map of codes, their bits, and how often each code is used."""
    code, noun = subject.database_code, subject.noun
    charts = [_map(subject, code), _balance(code, noun), _correlation(code), _multiplicity(code, noun),
              _centers(subject, code)]
    return join([tag("div", *charts, class_="figures"), _frequent(subject, code)])


def _map(subject: Subject, code: np.ndarray) -> Markup:
    """The codes in the plane, coloured by class."""
    picked = np.arange(len(code))
    if len(code) > MOST_POINTS:
        picked = np.sort(np.random.default_rng(_SEED).choice(len(code), MOST_POINTS, replace=False))
    points = embed(code[picked], seed=_SEED)
    if points is None:
        return figure("Map of codes", "Too few different codes for a map.", Markup())
    labels = subject.retrieval.database_labels
    largest = np.argsort(-labels.sum(axis=0, dtype=np.int64), kind="stable")[:_NUM_COLOURED]
    # A video of several of these classes takes the colour of the smallest, which says most about it.
    own = labels[picked][:, largest].astype(bool)
    place = np.where(own.any(axis=1), len(largest) - 1 - own[:, ::-1].argmax(axis=1), -1)
    groups = [(subject.class_names[at], points[place == i]) for i, at in enumerate(largest.tolist())]
    has_others = bool((place == -1).any())
    groups = [*([("other classes", points[place == -1])] if has_others else []), *groups]
    names = [(point_class(i - has_others), name) for i, (name, _) in enumerate(groups)]
    return figure("Map of codes", f"t-SNE of the codes of {len(picked):,} of {len(code):,} database {subject.noun}s; "
                  f"coloured: the {len(largest)} largest classes.",
                  scatter(groups, num_background=int(has_others)), names=names)


def _balance(code: np.ndarray, noun: str) -> Markup:
    share = (code > 0).mean(axis=0)
    chart = bar_chart([str(i) for i in range(len(share))], [Bars("share of +1", share)],
                      Axes("bit", "share of +1", level=0.5))
    return figure("Bit balance", f"Share of database {noun}s whose bit is +1, from {share.min():.2f} to "
                  f"{share.max():.2f}; dashed: a balanced bit.", chart)


def _correlation(code: np.ndarray) -> Markup:
    correlation = bit_correlation(code)
    np.fill_diagonal(correlation, np.nan)
    most = np.nanmax(np.abs(correlation), initial=0.0)
    return figure("Bit correlation", f"Pearson correlation of every two bits (blue: positive, orange: negative), at "
                  f"most {most:.2f} in size; blank: the diagonal and bits that never change.",
                  heat_map(correlation, "bit"))


def _multiplicity(code: np.ndarray, noun: str) -> Markup:
    _, counts = code_usage(code)
    edges = [1]  # 1, 2, 3-4, 5-8, 9-16, ...
    while edges[-1] < counts.max():
        edges.append(2 * edges[-1])
    names = [str(edge) if edge <= 2 else f"{edge // 2 + 1}–{edge}" for edge in edges]
    heights = np.bincount(np.searchsorted(edges, counts), minlength=len(edges))
    single = counts[counts == 1].sum() / counts.sum()
    return figure("Code usage", f"Different codes by the number of {noun}s that share one: {len(counts):,} codes for "
                  f"{counts.sum():,} {noun}s, of which {single:.0%} have a code of their own.",
                  bar_chart(names, [Bars("codes", heights)], Axes(f"{noun}s with the same code", "codes")))


def _frequent(subject: Subject, code: np.ndarray) -> Markup:
    codes, counts = code_usage(code)
    if counts[0] == 1:
        return tag("p", f"No two database {subject.noun}s share a code.", class_="note")
    rows = []
    for one, count in zip(codes[counts > 1][:_FREQUENT], counts, strict=False):
        members = subject.retrieval.database_labels[(code == one).all(axis=1)].sum(axis=0, dtype=np.int64)
        commonest = int(members.argmax())
        rows.append([tag("code", _as_text(one)), f"{count:,}", f"{count / len(code):.1%}",
                     subject.class_names[commonest] if members.any() else "no class",
                     f"{members[commonest] / count:.0%}"])
    return join([tag("h3", "Most frequent codes"),
                 table(["code", f"{subject.noun}s", "of all", "commonest class", "its share"], rows,
                       class_="numbers codes", label="most frequent codes")])


def _centers(subject: Subject, code: np.ndarray) -> Markup | None:
    """How far hash centers are from each other, and codes from the nearest."""
    centers = subject.hash_centers
    if centers is None or len(centers) < 2 or not is_binary(centers):
        return None
    bits, num_bits = pack(centers), code.shape[1]
    apart = hamming(bits, bits)[np.triu_indices(len(bits), 1)]
    packed = pack(code)
    nearest = np.concatenate([hamming(packed[start:start + _ROWS_AT_ONCE], bits).min(axis=1)
                              for start in range(0, len(packed), _ROWS_AT_ONCE)])
    lines = [Line(name, np.arange(num_bits + 1), np.bincount(distances, minlength=num_bits + 1) / len(distances))
             for name, distances in (("two centers", apart), (f"{subject.noun} and its nearest center", nearest))]
    return figure("Distances of hash centers", f"{len(centers)} centers are at least {apart.min()} and on average "
                  f"{apart.mean():.1f} bits apart; database codes are on average {nearest.mean():.1f} bits from the "
                  "nearest.", line_chart(lines, Axes("Hamming distance", "share", fill=True)),
                  names=series_names(lines))


def _as_text(code: np.ndarray) -> str:
    """A code as 0s and 1s in groups of eight."""
    digits = "".join("1" if bit > 0 else "0" for bit in code)
    return " ".join(digits[start:start + 8] for start in range(0, len(digits), 8))
