"""Codes of videos as files, and search in them.

    python search.py encode --config configs/S5VH/act.py --features database.h5 --ids database.txt --out codes.h5
    python search.py index  --codes codes.h5 --out videos.index
    python search.py query  --index videos.index --config configs/S5VH/act.py --features query.h5 --topk 10
    python search.py query  --index videos.index --codes query_codes.h5 --out results.csv
    python search.py index  --codes more_codes.h5 --add videos.index
    python search.py remove --index videos.index --ids v_1 v_2
    python search.py compact --index videos.index
    python search.py convert --codes codes.h5 --out codes.csv
    python search.py export --codes codes.h5 --to pgvector postgresql:///videos --table codes
    python search.py serve  --index videos.index --videos clips/

`search.py COMMAND --help` tells the options of a command.
"""

if __name__ == "__main__":  # the imports take a moment
    from utils.signals import end_in_one_line

    end_in_one_line()

import argparse
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dataset.extraction.store import close_with_failures
from inference import index_kinds
from inference.code_file import check_format, read_codes, read_ids, write_codes
from inference.code_set import CodeSet, check_comparable, check_model
from inference.export import delete, export
from inference.index import Index, load_index, sole_writer
from inference.labelled import ids_labelled
from inference.outputs import RESULTS, codes_csv, ending_of, results_csv, write_for_others, write_results
from inference.recall import compare_with_exact
from inference.search_options import search_parser
from inference.segments.index import MappedIndex
from inference.segments.manifest import is_mapped_index
from utils.cli import close_with, counted, program, run_script
from utils.errors import UserError

RECALL_AT = 100


def main() -> None:
    commands = {"encode": encode, "index": build_or_add, "remove": remove, "compact": compact, "query": query,
                "convert": convert, "export": export_codes, "serve": serve}
    arguments = search_parser(__doc__, commands).parse_args(sys.argv[1:] or ["--help"])
    arguments.run(arguments)


def encode(arguments: argparse.Namespace) -> None:
    """Features to a file of codes."""
    check_format(arguments.out)
    from vh.encoding import Encoder  # here, since searching among codes needs neither a model nor torch

    encoder = Encoder(arguments)
    codes = encoder.encode()
    write_codes(arguments.out, codes)
    encoder.close()
    close_with([f"{arguments.out}, {counted(len(codes), 'code')} of {codes.num_bits} bits"],
               shlex.join([*program("search"), "index", "--codes", arguments.out, "--out", "videos.index"]))
    if encoder.num_failed:
        close_with_failures(encoder.num_failed, encoder.num_failed + len(codes))


def build_or_add(arguments: argparse.Namespace) -> None:
    """Files of codes to an index, new or grown."""
    out = arguments.out or arguments.add
    if not out:
        raise UserError("no index named; give --out for a new one, or --add for one that is there.")
    if arguments.add and (arguments.kind or arguments.set):
        raise UserError(f"{arguments.add}: an index keeps its kind and settings; drop --kind and --set.")
    if arguments.mapped or is_mapped_index(out) or (arguments.add and is_mapped_index(arguments.add)):
        _build_or_add_mapped(arguments, out)
        return
    codes = read_codes(arguments.codes[0])
    for path in arguments.codes[1:]:
        codes = codes.joined(read_codes(path), any_model=arguments.any_model)
    in_place = bool(arguments.add) and Path(out).resolve() == Path(arguments.add).resolve()
    with sole_writer(out, _tell, changes=in_place):
        if Path(out).exists() and not in_place and not arguments.replace:
            raise UserError(f"{out}: exists already. Add to it with --add {out}, or discard it with --replace.")
        index = _built_or_grown(arguments, codes)
        index.save(out)
    if not index.exact:
        found = compare_with_exact(index, k=RECALL_AT)
        print(f"recall@{found.k} {found.recall:.4f} (share of results within the true k-th distance), "
              f"{found.speedup:.3g} times as fast as exact search; queries: {found.num_queries} of its own codes")
    close_with([f"{out}, {index.kind}, {counted(len(index), 'code')} of {index.codes.num_bits} bits"],
               _query_command(index, out))


def _build_or_add_mapped(arguments: argparse.Namespace, out: str) -> None:
    if arguments.add and out != arguments.add:
        raise UserError(f"{arguments.add}: a mapped index grows where it is; drop --out.")
    if arguments.kind or arguments.set:
        raise UserError(f"{out}: a mapped index is flat and has no settings; drop --kind and --set.")
    new = None if arguments.add else read_codes(arguments.codes[0])
    with MappedIndex.writing(out, _tell, new) as index:
        if len(index) and not arguments.add and not arguments.replace:
            raise UserError(f"{out}: exists already. Add to it with --add {out}, or discard it with --replace.")
        index.add(map(read_codes, arguments.codes), any_model=arguments.any_model, fresh=not arguments.add)
    close_with([f"{out}, mapped, {counted(len(index), 'code')} of {index.about.num_bits} bits"],
               _query_command(index, out))


def _query_command(index: Index | MappedIndex, path: str) -> str:
    made_by = index.about.made_from.get("checkpoint")
    queries = ["--checkpoint", str(made_by), "--features", "FILE"] if made_by else ["--codes", "FILE"]
    return _command_line("query", "--index", path, *queries)


def _command_line(*words: str) -> str:
    return shlex.join([*program("search"), *words])


def _built_or_grown(arguments: argparse.Namespace, codes: CodeSet) -> Index:
    """The index of --add with `codes` added, or a new one."""
    if not arguments.add:
        kind = arguments.kind or "flat"
        return Index(codes, kind, index_kinds.read_settings(kind, arguments.set))
    index = load_index(arguments.add)
    index.add(codes, any_model=arguments.any_model)
    return index


def remove(arguments: argparse.Namespace) -> None:
    """Items out of an index, or out of a database server."""
    ids = arguments.ids if arguments.ids is not None else read_ids(arguments.ids_file)
    if bool(arguments.server) != bool(arguments.name):
        raise UserError("remove: --from and --table (or --collection) go together. Name both, or an --index.")
    if arguments.server:
        engine, where = arguments.server
        delete(ids, engine, where, arguments.name)
        close_with([f"{arguments.name} ({engine}), {counted(len(set(ids)), 'item')} removed"],
                   _upsert_command(engine, arguments.name))
        return
    with _changing(arguments.index) as index:
        before = len(index)
        index.remove(ids)
    close_with([f"{arguments.index}, {counted(before - len(index), 'item')} removed, {len(index)} left"],
               _query_command(index, arguments.index))


@contextmanager
def _changing(path: str) -> Iterator[Index | MappedIndex]:
    """The index at `path`, alone with it; what the block changes is there afterwards."""
    if is_mapped_index(path):
        with MappedIndex.writing(path, _tell) as mapped:
            yield mapped
        return
    with sole_writer(path, _tell):
        index = load_index(path)
        yield index
        index.save(path)


def compact(arguments: argparse.Namespace) -> None:
    """What is left of a mapped index, written anew where items were removed or segments are small."""
    with MappedIndex.writing(arguments.index, _tell) as index:
        if damaged := index.damage():
            raise UserError(f"{arguments.index}/{damaged}: damaged, its content is not what was written. Bring the "
                            "file back, or make the index anew; nothing was changed.")
        index.compact()
    close_with([f"{arguments.index}, {counted(len(index), 'code')} in {counted(index.num_segments, 'segment')}"],
               _query_command(index, arguments.index))


def query(arguments: argparse.Namespace) -> None:
    """The nearest items of each query."""
    if arguments.out:
        ending_of(arguments.out, RESULTS, "results")
    index = _index_at(arguments.index)
    within = read_ids(arguments.within) if arguments.within else None
    if arguments.labels and not arguments.label:
        raise UserError(f"--labels {arguments.labels}: says which items have a label. Name some with --label.")
    if arguments.label:
        within = ids_labelled(index, arguments.label, arguments.labels)
    if arguments.codes:
        queries = read_codes(arguments.codes)
    else:
        from vh.encoding import Encoder

        encoder = Encoder(arguments)
        check_model(encoder.hasher.fingerprint, encoder.hasher.source, index.about, any_model=arguments.any_model)
        queries = encoder.encode(sys.stderr)
    check_comparable(queries, index.about, any_model=arguments.any_model)
    ids, distances = index.search(queries.bits, arguments.topk, within)
    if not arguments.out:
        _print_csv(results_csv(queries.ids, ids, distances))
        return
    write_results(arguments.out, queries.ids, ids, distances)
    close_with([f"{arguments.out}, {counted(ids.shape[1], 'item')} for each of {len(ids)} queries"],
               _command_line("index", "--codes", "FILE", "--add", arguments.index))


def _index_at(path: str) -> Index | MappedIndex:
    """The index at `path`, to be read."""
    if "://" in path:  # which may hold a password
        raise UserError("--index: an address of a database server, whose tables its own clients search. Name an index "
                        "of search.py index; one with --mapped takes any number of codes.")
    return MappedIndex.load(path) if is_mapped_index(path) else load_index(path)


def convert(arguments: argparse.Namespace) -> None:
    """Codes as text, or as an index of faiss."""
    codes = read_codes(arguments.codes)
    if arguments.ids is not None or arguments.ids_file is not None:
        codes = codes.only(arguments.ids if arguments.ids is not None else read_ids(arguments.ids_file))
    if not arguments.out:
        _print_csv(codes_csv(codes))
        return
    first, *others = write_for_others(arguments.out, codes)
    close_with([f"{first}, {counted(len(codes), 'code')} of {codes.num_bits} bits", *others],
               _command_line("export", "--codes", arguments.codes, "--to", "pgvector", "WHERE", "--table", "codes"))


def export_codes(arguments: argparse.Namespace) -> None:
    """Codes into a database server."""
    codes = read_codes(arguments.codes)
    engine, where = arguments.to
    export(codes, engine, where, arguments.name, index=arguments.index, replace=arguments.replace,
           upsert=arguments.upsert, any_model=arguments.any_model, partitions=arguments.partitions)
    close_with([f"{arguments.name} ({engine}), {counted(len(codes), 'code')} of {codes.num_bits} bits"],
               _upsert_command(engine, arguments.name))


def _upsert_command(engine: str, name: str) -> str:
    """What puts more codes into a table or collection of a server; where that is may hold a password."""
    return _command_line("export", "--codes", "FILE", "--to", engine, "WHERE", "--table", name, "--upsert")


def serve(arguments: argparse.Namespace) -> None:
    """A page to search in."""
    from dataset.extraction.store import videos_in
    try:
        import uvicorn

        from inference.server.app import make_app
    except ImportError as error:
        raise UserError(f"the package {error.name}, which the page needs, is not installed. Install it with `pip "
                        "install -r requirements-videos.txt`.") from error
    from inference.server.gallery import Gallery
    from vh.encoding import clip_encoder

    index = _index_at(arguments.index)
    gallery = Gallery(index, videos_in(arguments.videos) if arguments.videos else {}, clip_encoder(arguments, index))
    local = "127.0.0.1", "localhost", "[::1]", arguments.host
    hosts = ["*"] if arguments.host in ("0.0.0.0", "::") else list(dict.fromkeys(local))
    print(f"http://{arguments.host}:{arguments.port} shows {len(index)} items; Ctrl-C ends it", flush=True)
    uvicorn.run(make_app(gallery, most_bytes=arguments.most_mb << 20, hosts=hosts), host=arguments.host,
                port=arguments.port, log_level="warning", server_header=False, limit_concurrency=512)


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _print_csv(table: str) -> None:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        table.encode(encoding)
    except UnicodeEncodeError as error:
        raise UserError(f"standard output: its encoding, {encoding}, lacks {error.object[error.start]!a} of the ids. "
                        "Set PYTHONIOENCODING=utf-8, or write a file with --out.") from error
    print(table, end="")


if __name__ == "__main__":
    run_script(main)
