"""The commands of search.py and their options."""

import argparse
from collections.abc import Callable, Mapping

from inference import index_kinds
from utils.cli import share
from utils.config.arguments import ConfigParser, add_config_arguments
from utils.over_ray import add_ray_argument
from utils.registry import EXPORTS, INDEX_KINDS

ENCODE = """Writes the packed codes of videos, with their ids, to one file.

    python search.py encode --config configs/S5VH/act.py --features database.h5 --ids database.txt --out codes.h5
    python search.py encode --checkpoint last.pth --features a.h5 b.h5 --out codes.npz
    python search.py encode --checkpoint last.pth --features database.h5 --shard 3/8 --out codes_3.h5
    python search.py encode --checkpoint last.pth --videos clips/ --out codes.h5

--shard 3/8 encodes the third of eight shares, to the same bits as all at once; `index --codes` takes the files of all.
"""
INDEX = """Builds an index of codes, or adds codes to one.

    python search.py index --codes codes.h5 --out videos.index
    python search.py index --codes codes.h5 --out videos.index --kind multihash --set nflip=2
    python search.py index --codes more_codes.h5 --add videos.index
    python search.py index --codes codes.h5 --out videos.index --mapped

--mapped makes a folder whose files are mapped, not read: for codes beyond memory, open at once, searched exactly.
"""
COMPACT = """Writes a mapped index anew where items were removed or segments are small, once all its files are checked.

    python search.py compact --index videos.index
"""
REMOVE = """Takes items out of an index, or out of what `export` has stored in a database server.

    python search.py remove --index videos.index --ids v_1 v_2
    python search.py remove --index videos.index --ids-file gone.txt
    python search.py remove --from pgvector postgresql://user@host/base --table videos --ids v_1
"""
QUERY = """Prints, or writes, the nearest items of every query: query, rank, id and Hamming distance.

    python search.py query --index videos.index --config configs/S5VH/act.py --features query.h5
    python search.py query --index videos.index --codes query_codes.h5 --topk 100 --out results.csv
    python search.py query --index videos.index --checkpoint last.pth --videos clip.mp4
    python search.py query --index videos.index --codes query_codes.h5 --label walk run

Items at one distance come in the order in which they were put into the index. The label of an item is the first folder
of its id, as of walk/clip.mp4, or what a file says of it that --labels names.
"""
CONVERT = """Prints codes as bit strings, or writes them for other programs.

    python search.py convert --codes codes.h5 --ids v_1
    python search.py convert --codes codes.h5 --out codes.csv

Printed, and in .csv, are id and code, the code as its bits: 0110..., which PostgreSQL takes as B'0110...'. A file .json
has the same with what made them; .faiss is a binary flat index of faiss, beside it a file of the ids of its rows.
"""
EXPORT = """Stores codes in a database server: PostgreSQL with pgvector, or Milvus.

    python search.py export --codes codes.h5 --to pgvector postgresql://user@host/base --table videos --index hnsw
    python search.py export --codes codes.h5 --to milvus http://host:19530 --collection videos --index ivf
    python search.py export --codes more_codes.h5 --to pgvector postgresql://user@host/base --table videos --upsert

--index: none (exact) or hnsw for pgvector, flat (exact) or ivf for milvus; the first is the default. A table that is
replaced stays until the new one is complete; a collection is dropped first. An index file can be exported as well.
--upsert puts the codes into what is there, in place of those of the same ids: a table as a whole or not at all, a
collection in parts. `search.py remove --from` takes items out. --partitions 8 makes a table of eight parts, each with
an index of its own, that PostgreSQL searches as one.
"""


SERVE = """Shows a page to search in: items and their videos, what is nearest to one, or to a clip of one's own.

    python search.py serve --index videos.index --videos clips/

The page, http://127.0.0.1:8000 unless told otherwise, needs no network; /docs describes its interface for programs. A
clip is encoded by the checkpoint that made the index, or by --checkpoint. Only videos below --videos are ever shown.
--index: a file or a mapped folder; tables of a database server are searched by their own clients.
"""


def search_parser(about: str | None, run: Mapping[str, Callable[[argparse.Namespace], object]]) -> ConfigParser:
    """The parser, whose arguments have as `run` what `run` names for their command; `about` it says of itself."""
    parser = ConfigParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (text, add_options) in COMMANDS.items():
        add_options(_command(commands, name, text, run[name]))
    return parser


def _command(commands, name: str, text: str, run: Callable) -> ConfigParser:
    parser = commands.add_parser(name, help=text.partition("\n")[0], description=text, allow_abbrev=False,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(run=run)
    return parser


def _add_encode(parser: ConfigParser) -> None:
    _add_encoder(parser)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--features", nargs="+", metavar="FILE", help="HDF5 or .npy files, seen as one")
    _add_videos(which)
    parser.add_argument("--out", required=True, metavar="FILE", help="the file of codes, .h5 or .npz")
    many = parser.add_mutually_exclusive_group()
    many.add_argument("--shard", type=share, metavar="I/N", help="encode the I-th of N shares of the videos only")
    add_ray_argument(many)


def _add_videos(group) -> None:
    group.add_argument("--videos", nargs="+", metavar="PATH",
                       help="video files or folders; features are made as those of the checkpoint were")


def _add_encoder(parser: ConfigParser) -> None:
    add_config_arguments(parser, positional=False)
    parser.add_argument("--checkpoint", metavar="FILE",
                        help="weights; default: the run's own. Its config stands where none is named")
    parser.add_argument("--ids", metavar="FILE",
                        help="text file with the id of each video, one per line; default: those in the file of "
                        "features, else row numbers")
    parser.add_argument("--batch", type=_count, metavar="N", help="videos per step (default: test_batch_size)")


def _add_index(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--codes", nargs="+", required=True, metavar="FILE", help="files of search.py encode")
    parser.add_argument("--out", metavar="FILE", help="the index; default: the one of --add")
    parser.add_argument("--add", metavar="FILE", help="the index to add the codes to")
    parser.add_argument("--kind", choices=INDEX_KINDS.names(), help="how it searches (default: flat)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings of the kind, see below")
    parser.add_argument("--replace", action="store_true", help="discard what is at --out")
    parser.add_argument("--mapped", action="store_true", help="make a folder that is mapped, for any number of codes")
    _add_any_model(parser)
    parser.epilog = "kinds and their settings:\n" + index_kinds.describe()


def _add_remove(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--index", metavar="FILE", help="the index; it is changed")
    where.add_argument("--from", dest="server", nargs=2, metavar=("ENGINE", "WHERE"),
                       help="a database server, as export takes it")
    parser.add_argument("--table", "--collection", dest="name", metavar="NAME",
                        help="with --from: the table or collection there")
    _add_ids(parser, "to remove", required=True)


def _add_compact(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--index", required=True, metavar="FOLDER", help="the index; it is changed")


def _add_ids(parser: argparse.ArgumentParser, which: str, *, required: bool) -> None:
    group = parser.add_mutually_exclusive_group(required=required)
    group.add_argument("--ids", nargs="+", metavar="ID", help=f"the ids of the items {which}")
    group.add_argument("--ids-file", metavar="FILE", help="text file with these ids, one per line")


def _add_query(parser: ConfigParser) -> None:
    _add_encoder(parser)
    parser.add_argument("--index", required=True, metavar="FILE", help="the index to search in")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--features", nargs="+", metavar="FILE", help="files of queries, encoded as --config says")
    which.add_argument("--codes", metavar="FILE", help="a file of query codes; no model is built")
    _add_videos(which)
    parser.add_argument("--topk", type=_count, default=10, metavar="K", help="items per query (default: 10)")
    some = parser.add_mutually_exclusive_group()
    some.add_argument("--within", metavar="FILE", help="text file of ids, one per line: search these items only")
    some.add_argument("--label", nargs="+", metavar="LABEL", help="search the items of these labels only, see above")
    parser.add_argument("--labels", metavar="FILE", help="CSV file of the labels, columns id and label")
    parser.add_argument("--out", metavar="FILE", help="results, .csv or .npz; default: CSV on standard output")
    _add_any_model(parser)


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--index", required=True, metavar="FILE", help="the index to search in")
    parser.add_argument("--videos", nargs="+", default=[], metavar="PATH", help="the videos, as they were encoded")
    parser.add_argument("--checkpoint", metavar="FILE", help="what encodes clips (default: what made the index)")
    parser.add_argument("--gpu", metavar="N", help="a GPU's number, or cpu (default: the first GPU, else the CPU)")
    parser.add_argument("--host", default="127.0.0.1", help="who may call: this machine alone (default: %(default)s)")
    parser.add_argument("--port", type=_count, default=8000, help="(default: %(default)s)")
    parser.add_argument("--most-mb", type=_count, default=64, metavar="N", help="of a clip (default: %(default)s)")
    _add_any_model(parser)


def _add_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--codes", required=True, metavar="FILE", help="a file of search.py encode, or an index")
    _add_ids(parser, "to convert (default: all)", required=False)
    parser.add_argument("--out", metavar="FILE", help="a file .csv, .json or .faiss; default: CSV on standard output")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--codes", required=True, metavar="FILE", help="a file of search.py encode, or an index")
    parser.add_argument("--to", nargs=2, required=True, metavar=("ENGINE", "WHERE"),
                        help=f"{' or '.join(EXPORTS.names())}, and its connection string or URI")
    parser.add_argument("--table", "--collection", dest="name", required=True, metavar="NAME",
                        help="what to call it there; [schema.]table in PostgreSQL")
    parser.add_argument("--index", metavar="NAME", help="how the server searches, see above")
    parser.add_argument("--partitions", type=_count, default=1, metavar="N", help="of a table of pgvector (default: 1)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--replace", action="store_true", help="discard a table or collection of this name")
    how.add_argument("--upsert", action="store_true", help="put them into it, in place of those of the same ids")
    _add_any_model(parser)


def _add_any_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--any-model", action="store_true", help="let codes of different models meet")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, not '{text}'")
    return int(text)


COMMANDS: Mapping[str, tuple[str, Callable[[ConfigParser], None]]] = {
    "encode": (ENCODE, _add_encode), "index": (INDEX, _add_index), "remove": (REMOVE, _add_remove),
    "compact": (COMPACT, _add_compact), "query": (QUERY, _add_query), "convert": (CONVERT, _add_convert),
    "export": (EXPORT, _add_export), "serve": (SERVE, _add_serve)}
