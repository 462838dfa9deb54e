"""Near-duplicate search: whether an altered copy of a piece of video finds its source. Q copies, N pieces, K bits.

    python -m benchmarks.near_copies --config data/near_copies/config.py ... [--out results/near_copies.md]

The config's database are the pieces of `python -m dataset.near_copies`, its queries their copies; `make demo-videos`
has every step before. The runs' own methods stand beside all shallow codes of the same length, fit on the same pieces.
recall@k is the share of copies whose source is among the first k pieces, equal distances in every order (expectation).
"""

import argparse

import numpy as np

from dataset.missing import missing_files
from dataset.protocol import Retrieval, open_retrieval, open_train
from inference.codes import unpack
from inference.evaluation import shallow_codes
from inference.report import format_table
from training.checkpoints import chosen_checkpoint, read_checkpoint
from utils.cli import choose_device, close_with, end_with, run_script
from utils.config import load_config
from utils.errors import UserError
from utils.files.writing import write_text
from vh.hasher import Hasher

AT = 1, 10
SAME = "nbits", "train_feat_path", "test_feat_path", "query_feat_path", "label_path", "query_label_path"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, nargs="+", metavar="FILE", help="of trained runs on the same files")
    parser.add_argument("--out", default="results/near_copies.md", metavar="FILE", help="(default: %(default)s)")
    arguments = parser.parse_args()
    configs = [load_config(path) for path in arguments.config]
    config = configs[0]
    for other, path in zip(configs, arguments.config, strict=True):
        end_with(missing_files(other, other.dataset, path))
        if any(getattr(other, key) != getattr(config, key) for key in SAME):
            raise UserError(f"{path}: other files or code length than {arguments.config[0]} ({', '.join(SAME)}). Name "
                            "runs that compare.")
    retrieval = open_retrieval(config)
    codes = dict(shallow_codes(open_train(config), retrieval, config))
    for trained in configs:
        path = chosen_checkpoint(trained)
        hasher = Hasher(trained, read_checkpoint(path), str(path), choose_device("cpu"))
        database, queries = (unpack(hasher.encode_features(split).bits, hasher.bits)
                             for split in (retrieval.database, retrieval.queries))
        codes[trained.model_name] = database, queries
    rows = table(codes, retrieval)
    text = format_table(rows, list(rows[0]))
    about = (f"{len(retrieval.queries)} copies of {len(retrieval.database)} pieces, {config.nbits} bits, "
             f"{hasher.extraction or 'features of unknown origin'}")
    print(f"{about}\n\n{text}", end="")
    write_text(arguments.out, f"{about}\n\n```\n{text}```\n")
    close_with([arguments.out])


def table(codes, retrieval: Retrieval) -> list[dict[str, object]]:
    """A row for each method, its recalls by alteration, the first part of a copy's id.

    Args:
        codes: method -> codes int8 of database (N, K) and queries (Q, K).

    Raises:
        UserError: the file of queries holds no ids, or a copy has not one source.
    """
    ids = retrieval.queries.ids
    sources = retrieval.query_labels.astype(np.int64) @ retrieval.database_labels.T.astype(np.int64)
    if ids is None or not (sources.sum(axis=1) == 1).all():
        raise UserError(f"{', '.join(retrieval.queries.paths)}: not the copies of dataset.near_copies. Make them with "
                        "`make demo-videos`.")
    kinds = np.array([name.partition("/")[0] for name in ids])
    rows = []
    for method, (database, queries) in codes.items():
        found = recalls(database, queries, sources.argmax(axis=1))
        rows.append({"method": method} | {f"{kind} @{k}": float(found[k][kinds == kind].mean())
                                          for kind in sorted(set(kinds)) for k in AT})
    return rows


def recalls(database: np.ndarray, queries: np.ndarray, sources: np.ndarray) -> dict[int, np.ndarray]:
    """For each k of AT the chance (Q,) that the source, row `sources` (Q,) of the database, is among the first k."""
    distances = (database.shape[1] - queries.astype(np.int32) @ database.T.astype(np.int32)) // 2
    own = np.take_along_axis(distances, sources[:, None], axis=1)
    nearer, equal = (distances < own).sum(axis=1), (distances == own).sum(axis=1)
    return {k: np.clip((k - nearer) / equal, 0, 1) for k in AT}


if __name__ == "__main__":
    run_script(main)
