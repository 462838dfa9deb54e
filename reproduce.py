"""Trains and evaluates a grid of cells and prints one table of them.

    python reproduce.py --table main --datasets act --bits 16 64
    python reproduce.py --table backbones --datasets digits --seeds 1
    python reproduce.py --table frames --datasets act
    python reproduce.py --table backbones --config mine.py
    python reproduce.py --table backbones --datasets ucf hmdb --bits 16 32 --seeds 3 --jobs 2 --dry-run

A cell is one row of the table on one dataset, at one code length, with one seed: a run of train.py and eval.py in
folders of its own. Cells that are done are skipped, one that was cut short continues. The tables `efficiency` and
`frames` compare what networks cost before any training: they need no data and keep no runs. The table is written to
<out>/<table>.md, with charts to <out>/<table>.html, for papers to <out>/<table>.tex and <out>/<table>_figures/, the
raw numbers of every cell to <out>/<table>.csv. Cells that these have from earlier runs under the same --set stay.
"""

if __name__ == "__main__":  # the imports take a moment
    from utils.signals import end_in_one_line

    end_in_one_line()

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

import torch
from tqdm import tqdm

import tables
from inference.figures import Markup
from inference.page.files import write_figures
from inference.report import format_table
from tables.grid.cells import Cell, State, evaluation, expand, missing_configs, other_settings, state
from tables.grid.costs import cost_figures, cost_lines, cost_records, describe_costs
from tables.grid.estimate import seconds_left, total
from tables.grid.merge import merged
from tables.grid.page import latex_text, page_text, retrieval_figures
from tables.grid.preparation import missing_data, preprocess, provide_data
from tables.grid.published import PUBLISHED, without_differences
from tables.grid.records import Record, collect, table_lines
from tables.grid.report import circumstances, describe_columns, markdown, write_csv
from tables.grid.runner import ROOT, Runner, run_cells, side_by_side, threads_per_cell
from tables.grid.timing import training_seconds
from tables.grid.transfer import transfer_records
from training.checkpoints import chosen_checkpoint
from training.logs import duration
from utils.cli import choose_device, close_with, end_with, program, run_script
from utils.config import Config
from utils.config.arguments import add_shared_arguments
from utils.config.schema import known_keys
from utils.errors import UserError
from utils.files.lock import Lock
from utils.files.writing import write_text
from utils.registry import TABLES, plain_name

TIMING_SECONDS = 40
PLACES = "home_root", "data_root", "save_dir"  # keys that say where things lie


def main() -> None:
    arguments = _arguments()
    table = _table(arguments)
    cells = _cells(arguments, table)
    device = choose_device(arguments.gpu)
    if not table.trained:
        _compare_costs(arguments, table, cells, device)
        return
    states = {cell: state(cell.config, cell.transferred) for cell in cells}
    jobs = arguments.jobs or side_by_side(cells, device)
    if arguments.dry_run:
        _list(states, jobs, partial(training_seconds, device=device, num_threads=threads_per_cell(jobs)))
        print("\n".join(missing_data(cells) or [f"next: {_again()}"]), file=sys.stderr)
        return
    end_with(missing_data(cells))
    with ExitStack() as locks:
        for path, advice in _locks(arguments, cells).items():
            locks.enter_context(Lock(path, f"Wait until it is done or end it, or {advice}."))
        _make(arguments, table, states, device, jobs)


def _make(arguments: argparse.Namespace, table: tables.Table, states: dict[Cell, State], device: torch.device,
          jobs: int) -> None:
    """Brings all cells to their end and publishes the table; exit status 1 if one failed."""
    if not arguments.restart:
        _refuse_other_settings(states)
    cells, num_threads = list(states), threads_per_cell(jobs)
    num_done = sum(found is State.DONE for found in states.values())
    tqdm.write(f"{arguments.table}: {num_done} of {len(cells)} cells are done; "
               f"{jobs} side by side, threads of each: {num_threads}")
    provide_data(cells, tqdm.write)
    try:
        with Runner(num_threads, arguments.gpu) as runner:
            preprocess(states, runner, tqdm.write)
            failures = run_cells(states, runner, jobs, tqdm.write)
    except KeyboardInterrupt:
        _tell_kept(cells)
        raise
    records = collect(cells, failures, device, baselines=table.baselines,
                      timing_seconds=0 if arguments.no_timing else TIMING_SECONDS)
    records += transfer_records(cells, records, baselines=table.baselines)
    altered = [name for name, _ in arguments.overrides if name not in known_keys() or not known_keys()[name].free]
    unlike = [f"--set changes {', '.join(altered)}"] * bool(altered) + ["--config is no published one"] * bool(
        arguments.config)
    if unlike:
        records = without_differences(records)
    shared = shlex.join(f"{name}={text}" for name, text in arguments.overrides if name not in PLACES)
    records, num_kept = merged(Path(f"{_stem(arguments)}.csv"), records, shared)
    notes = [*table.notes, *describe_columns(cells, records, torch.get_num_threads())]
    if unlike and any(record["status"] == PUBLISHED for record in records):
        notes.append(f"No difference to what is published is given, as {' and '.join(unlike)}.")
    if num_kept:
        notes.append(f"{num_kept} records are of earlier runs of this table and were kept as they were.")
    _publish(arguments, table.title, circumstances(device, num_threads, arguments.seeds), table_lines(records),
             notes, records, retrieval_figures, _encode_by_best(cells) if arguments.seeds > 1 and not failures else
             _again(*(() if failures else ("--seeds", "3"))))
    if failures:
        raise SystemExit(1)


def _tell_kept(cells: Sequence[Cell]) -> None:
    """What an interrupt has left, and how to go on."""
    found = [state(cell.config, cell.transferred) for cell in cells]
    tqdm.write(f"kept: {found.count(State.DONE)} of {len(cells)} cells are done, {found.count(State.PART)} have come "
               f"part of their way. Go on with:\n{_again()}", file=sys.stderr)


def _again(*more: str) -> str:
    """The command that goes on with this table, what is done left as it is; with `more`, of two options the later."""
    words = [word for word in sys.argv[1:] if word not in ("--restart", "--dry-run")]
    return shlex.join([*program("reproduce"), *words, *more])


def _encode_by_best(cells: Sequence[Cell]) -> str:
    """The command that encodes by the best of the first dataset's cells, which are done."""
    def score(cell: Cell) -> float:
        metrics = evaluation(cell.config)
        return metrics["map_at"]["expected"][str(cell.config.map_at[0])] if metrics else -1.0

    best = max((cell for cell in cells if cell.dataset == cells[0].dataset), key=score)
    return shlex.join([*program("search"), "encode", "--checkpoint", str(chosen_checkpoint(best.config)), "--features",
                       "FILE", "--out", "codes.h5"])


def _compare_costs(arguments: argparse.Namespace, table: tables.Table, cells: Sequence[Cell],
                   device: torch.device) -> None:
    """Makes a table of costs, in this process."""
    if arguments.seeds > 1 or (arguments.jobs or 1) > 1:
        raise UserError(f"--table {arguments.table} compares costs, which no seed changes and other work beside would "
                        "falsify. Leave out --seeds and --jobs.")
    if arguments.dry_run:
        _print_cells(dict.fromkeys(cells, "untrained"), {})
        print(f"nothing to train; counting takes seconds, timing about {TIMING_SECONDS} s\nnext: {_again()}",
              file=sys.stderr)
        return
    records = cost_records(cells, device, TIMING_SECONDS)
    num_threads = torch.get_num_threads()
    _publish(arguments, table.title, circumstances(device, num_threads), cost_lines(records),
             [*table.notes, *describe_costs(device, num_threads)], records, cost_figures,
             shlex.join([*program("train"), "--config", cells[0].path, "--summary",
                         *(["--set", *cells[0].settings] if cells[0].settings else [])]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     allow_abbrev=False)
    parser.add_argument("--table", required=True, help="which table: a file of tables/ ("
                        f"{', '.join(TABLES.names())}), or the path of one")
    parser.add_argument("--profile", choices=tables.PROFILES, default="paper",
                        help="methods as their papers have them, or, where configs/<method>_release/ is there, as "
                             "their releases do (default: paper)")
    parser.add_argument("--datasets", nargs="+", metavar="NAME", help="configs/<model>/<NAME>.py; default: the table's")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only these rows, as run folders name them")
    parser.add_argument("--bits", nargs="+", type=int, metavar="K",
                        help="code lengths; default: the table's, else each config's")
    parser.add_argument("--seeds", type=_count, default=1, metavar="N", help="seeds 1 to N (default: 1)")
    parser.add_argument("--jobs", type=_count, metavar="J",
                        help="cells side by side, each with its share of the CPU's threads (default: one per CPU as "
                             "far as the memory goes, one on a GPU)")
    parser.add_argument("--dry-run", action="store_true",
                        help="list the cells, how far each has come and how long it will take, and stop")
    parser.add_argument("--restart", action="store_true", help="discard cells that were made with other settings")
    parser.add_argument("--no-timing", action="store_true", help="leave out the times of training and encoding")
    parser.add_argument("--configs", default=os.path.relpath(ROOT / "configs"), metavar="DIR",
                        help="folder of the configs (default: %(default)s)")
    parser.add_argument("--config", nargs="+", metavar="FILE", help="configs of your own, a file for each dataset: all "
                        "rows take it, each over its own backbone")
    parser.add_argument("--out", default="results", metavar="DIR", help="folder of the table (default: %(default)s)")
    add_shared_arguments(parser)
    return parser.parse_args()


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, not '{text}'")
    return int(text)


def _table(arguments: argparse.Namespace) -> tables.Table:
    table = tables.in_profile(TABLES.load(arguments.table), arguments.profile)
    names = [row.name for row in table.rows]
    for name in arguments.rows or ():
        if name not in names:
            raise UserError(f"--rows {name}: the table '{arguments.table}' has {', '.join(names)}; name some of these.")
    return replace(table, rows=tuple(row for row in table.rows if row.name in (arguments.rows or names)))


def _cells(arguments: argparse.Namespace, table: tables.Table) -> list[Cell]:
    """Every cell; a config that is not there is told in a line of its own, exit status 2."""
    files = {Path(path).stem: path for path in arguments.config or ()}
    datasets = arguments.datasets or list(files) or table.datasets
    in_folder = [dataset for dataset in datasets if dataset not in files]
    end_with([f"{path}: no such config. Write it, leave its dataset out of --datasets, or name one for all rows with "
              "--config." for path in missing_configs(table, arguments.configs, in_folder)])
    return expand(plain_name(arguments.table), table, folder=arguments.configs, datasets=datasets, bits=arguments.bits,
                  num_seeds=arguments.seeds, settings=dict(arguments.overrides), files=files)


def _list(cells: Mapping[Cell, State], jobs: int, probe: Callable[[Config], float]) -> None:
    """Prints the cells with the training that each still needs, and the sum of it to stderr.

    Where nothing like a cell has run, `probe` times a step of its training.
    """
    undone = [cell for cell, found in cells.items() if found is not State.DONE]
    left = {cell: seconds for cell, seconds in seconds_left(cells, probe).items() if cell in undone}
    _print_cells(cells, {cell: duration(seconds) for cell, seconds in left.items()})
    if left:
        print(total(left, undone, jobs), file=sys.stderr)


def _print_cells(cells: Mapping[Cell, str], left: Mapping[Cell, str]) -> None:
    rows = [{"state": str(found)} | ({"training left": left.get(cell, "-")} if left else {}) |
            {"dataset": cell.dataset, "bits": cell.bits, "model": cell.row.label, "seed": cell.seed,
             "config": cell.path, "overrides": " ".join(cell.settings)} for cell, found in cells.items()]
    print(format_table(rows, list(rows[0])), end="")


def _refuse_other_settings(cells: Mapping[Cell, State]) -> None:
    others = [cell for cell, found in cells.items() if found is State.OTHER]
    if others:
        more = f", and so were {len(others) - 1} more" if len(others) > 1 else ""
        raise UserError(f"{others[0].config.file_path}: this cell was made with other settings "
                        f"({other_settings(others[0].config)}){more}. Add --restart to discard such cells, or set "
                        "home_root to keep them.")


def _stem(arguments: argparse.Namespace) -> str:
    """The path of the table's files, without their endings."""
    ending = "" if arguments.profile == "paper" else f"_{arguments.profile}"
    return os.path.join(arguments.out, f"{plain_name(arguments.table)}{ending}")


def _locks(arguments: argparse.Namespace, cells: Sequence[Cell]) -> dict[str, str]:
    """The locks on the table's files and on the folders of its runs, each with what to do instead of waiting."""
    name = os.path.basename(_stem(arguments))
    folders = dict.fromkeys(str(cell.log_path.parent) for cell in cells)
    return {f"{_stem(arguments)}.lock": "name another folder with --out",
            **{os.path.join(folder, f".{name}.lock"): "set home_root to keep its runs elsewhere" for folder in folders}}


def _publish(arguments: argparse.Namespace, title: str, made: str, lines: Sequence[Mapping[str, str]],
             notes: Sequence[str], records: Sequence[Record], draw: Callable[[Sequence[Record]], list[Markup]],
             following: str) -> None:
    """Prints the table and writes its files."""
    command = shlex.join(["python", "reproduce.py", *sys.argv[1:]])
    apart = [list(group) for _, group in groupby(lines, lambda line: line.get("dataset"))]
    shown = "\n".join(format_table(group, list(lines[0])) for group in apart)
    print(f"\n{title}: {made}\n\n{shown}\n" + "\n".join(notes))
    path = _stem(arguments)
    write_text(f"{path}.md", markdown(title, command, made, lines, notes))
    page = page_text(title, command, made, lines, notes, records, draw)
    write_text(f"{path}.html", page)
    figures = write_figures(f"{path}_figures", page)
    write_text(f"{path}.tex", latex_text(title, command, made, lines, notes, records))
    write_csv(f"{path}.csv", records)
    print()
    close_with([f"{path}.md", f"{path}.html", f"{path}.tex", f"{path}.csv", *figures], following)


if __name__ == "__main__":
    run_script(main)
