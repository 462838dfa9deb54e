"""What search.py writes for other programs: the results of a query, and codes as text or as an index of faiss.

A code as text is its K bits, "0110...", bit 0 first: what PostgreSQL takes as B'0110...'. N codes, Q queries.
"""

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from inference.code_set import CodeSet
from utils.errors import UserError
from utils.files.writing import whole_file, write_text


def bit_strings(codes: CodeSet) -> list[str]:
    """The codes as text, N strings of K characters."""
    bits = np.unpackbits(codes.bits, axis=1, count=codes.num_bits) + np.uint8(ord("0"))
    return [row.tobytes().decode() for row in bits]


def codes_csv(codes: CodeSet) -> str:
    """A table of id and code."""
    return _csv(("id", "code"), zip(codes.ids, bit_strings(codes), strict=True))


def results_csv(query_ids: np.ndarray, ids: np.ndarray, distances: np.ndarray) -> str:
    """A table of query, rank, id and distance. `query_ids` (Q,), `ids` and `distances` (Q, k)."""
    return _csv(("query", "rank", "id", "distance"), (
        (query, rank, item, step) for query, row, steps in zip(query_ids, ids, distances.tolist(), strict=True)
        for rank, (item, step) in enumerate(zip(row, steps, strict=True), 1)))


def write_results(path: str, query_ids: np.ndarray, ids: np.ndarray, distances: np.ndarray) -> None:
    """The results of a query as .csv or .npz."""
    RESULTS[ending_of(path, RESULTS, "results")](path, query_ids, ids, distances)


def write_for_others(path: str, codes: CodeSet) -> list[str]:
    """Writes codes to `path`, as its ending says, and gives the files that it wrote.

    .csv: id and code. .json: `num_bits`, `model`, `made_from`, `ids` and `codes`. .faiss: a binary flat index, its
    last byte filled up with zeros, which changes no distance; the ids of its rows go to <path>.ids.txt, a line each.

    Raises:
        UserError: another ending, faiss is not installed, or an id does not fit into a line.
    """
    return FORMATS[ending_of(path, FORMATS, "codes")](path, codes)


def ending_of(path: str, known: Mapping[str, Callable], what: str) -> str:
    """The ending of `path`, lower case. Raises UserError where it is not among the `known`."""
    ending = Path(path).suffix.lower()
    if ending not in known:
        raise UserError(f"{path}: {what} are written as {' or '.join(known)}. Name such a file.")
    return ending


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return table.getvalue()


def _results_to_csv(path: str, *results: np.ndarray) -> None:
    write_text(path, results_csv(*results))


def _results_to_npz(path: str, query_ids: np.ndarray, ids: np.ndarray, distances: np.ndarray) -> None:
    with whole_file(path) as part, open(part, "wb") as file:
        np.savez(file, query_ids=query_ids.astype(str), ids=ids.astype(str), distances=distances)


def _codes_to_csv(path: str, codes: CodeSet) -> list[str]:
    write_text(path, codes_csv(codes))
    return [path]


def _codes_to_json(path: str, codes: CodeSet) -> list[str]:
    write_text(path, json.dumps({"num_bits": codes.num_bits, "model": codes.fingerprint,
                                 "made_from": dict(codes.made_from), "ids": codes.ids.tolist(),
                                 "codes": bit_strings(codes)}, ensure_ascii=False) + "\n")
    return [path]


def _codes_to_faiss(path: str, codes: CodeSet) -> list[str]:
    try:
        import faiss
    except ImportError as error:
        raise UserError(f"{path}: faiss is not installed. Install it with pip install faiss-cpu, or write .csv or "
                        ".json.") from error
    unfit = next((item for item in codes.ids if item != item.strip() or len(item.splitlines()) != 1), None)
    if unfit is not None:
        raise UserError(f"{codes.source}: the id {unfit!a} does not fit into a line of text. Rename it, or write .csv.")
    index = faiss.IndexBinaryFlat(8 * codes.bits.shape[1])
    index.add(np.ascontiguousarray(codes.bits))
    names = f"{path}.ids.txt"
    write_text(names, "".join(f"{item}\n" for item in codes.ids))
    with whole_file(path) as part:
        faiss.write_index_binary(index, os.fspath(part))
    return [path, names]


RESULTS: dict[str, Callable[..., None]] = {".csv": _results_to_csv, ".npz": _results_to_npz}
FORMATS: dict[str, Callable[[str, CodeSet], list[str]]] = {
    ".csv": _codes_to_csv, ".json": _codes_to_json, ".faiss": _codes_to_faiss}
