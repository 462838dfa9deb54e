"""The command `vh`: the project's scripts from any folder, and a few small things beside them.

    vh init features.h5 --bits 64 --out mine.py    a config for features of your own
    vh preprocess --config mine.py                 what training reads
    vh train      --config mine.py                 a model
    vh search encode --checkpoint checkpoint/mine/S5VH_64bit/last.pth --features features.h5 --out codes.h5

extract, preprocess, train, eval, search and reproduce are the scripts of the same names, with their options;
`vh COMMAND --help` tells them. The others are told below.
"""

from utils.signals import end_in_one_line

if __name__ == "__main__":  # the imports take a moment
    end_in_one_line()

import argparse
import runpy
import sys
from collections.abc import Sequence

from utils.cli import run_script
from utils.errors import UserError
from vh import ROOT, __version__

SCRIPTS = "extract", "preprocess", "train", "eval", "search", "reproduce"


def main() -> None:
    """What the command line asks for."""
    end_in_one_line()
    if len(sys.argv) > 1 and sys.argv[1] in SCRIPTS:
        _run(sys.argv[1], sys.argv[2:])
    else:
        run_script(_own_command)


def _run(script: str, words: Sequence[str]) -> None:
    """Runs a script as its own program, since nothing may import one."""
    path = ROOT / f"{script}.py"
    if not path.is_file():
        raise SystemExit(f"error: {path} is not there. Install the project with `pip install -e`, from its folder.")
    sys.path.insert(0, str(ROOT))  # where Python puts the folder of a program
    sys.argv = [str(path), *words]
    runpy.run_path(str(path), run_name="__main__")


def _own_command() -> None:
    parser = argparse.ArgumentParser(prog="vh", description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for script in SCRIPTS:  # found before by `main`; here for --help
        commands.add_parser(script, help=f"{script}.py", add_help=False)
    commands.add_parser("version", help="the version, and those of torch and Python").set_defaults(run=_version)
    commands.add_parser("env", help="what computes here: versions, devices, engines and why, threads").set_defaults(
        run=_environment)
    init = commands.add_parser("init", help="write a config for feature files, from the shapes in them")
    init.add_argument("features", nargs="+", metavar="FILE", help="training features, (N, T, F), or pictures, (N, "
                      "rows, columns, 3), seen as one")
    init.add_argument("--bits", type=int, default=64, metavar="K", help="length of the codes (default: 64)")
    init.add_argument("--out", required=True, metavar="FILE.py", help="the config to write")
    init.add_argument("--method", metavar="NAME", help="a file of model/methods/ (default: the paper's, or for "
                      "pictures with labels one that learns from these)")
    init.add_argument("--database", nargs="+", metavar="FILE", help="features to search in (default: those)")
    init.add_argument("--labels", nargs="+", metavar="FILE", help="labels of the database; only evaluation needs them")
    init.add_argument("--queries", nargs="+", metavar="FILE", help="features of the queries (default: the database)")
    init.add_argument("--query-labels", nargs="+", metavar="FILE", help="labels of the queries")
    init.add_argument("--train-labels", nargs="+", metavar="FILE", help="labels of the training items, where a method "
                      "learns from them (default: --labels, without --database)")
    init.add_argument("--replace", action="store_true", help="overwrite the config at --out")
    init.set_defaults(run=_init)
    compare = commands.add_parser("compare", help="runs side by side: one table, and their curves on one page")
    compare.add_argument("runs", nargs="+", metavar="FOLDER", help="folders of logs, logs/<dataset>/<run>")
    compare.add_argument("--out", default="compare.html", metavar="FILE", help="the page (default: %(default)s)")
    compare.set_defaults(run=_compare)
    shell = commands.add_parser("completion", help="what a shell sources to complete these commands and their flags")
    shell.add_argument("shell", metavar="SHELL", help="bash or zsh")
    shell.set_defaults(run=lambda arguments: _completion(arguments.shell, parser))
    arguments = parser.parse_args(sys.argv[1:] or ["--help"])
    arguments.run(arguments)


def _version(arguments: argparse.Namespace) -> None:
    from importlib.metadata import version

    print(f"vh {__version__}, torch {version('torch')}, Python {sys.version.split()[0]}, in {ROOT}")


def _environment(arguments: argparse.Namespace) -> None:
    from vh.environment import report

    print(report())


def _completion(shell: str, parser: argparse.ArgumentParser) -> None:
    from vh.completion import completion

    print(completion(shell, parser, SCRIPTS), end="")


def _compare(arguments: argparse.Namespace) -> None:
    from vh.compare import compare

    print(compare(arguments.runs, arguments.out))


def _init(arguments: argparse.Namespace) -> None:
    from vh.new_config import write_config

    if not 1 <= arguments.bits <= 65_535:
        raise UserError(f"--bits {arguments.bits}: a code has 1 to 65,535 bits.")
    print(write_config(arguments.out, arguments.features, num_bits=arguments.bits, method=arguments.method,
                       database=arguments.database, labels=arguments.labels, queries=arguments.queries,
                       query_labels=arguments.query_labels, train_labels=arguments.train_labels,
                       replace=arguments.replace))


if __name__ == "__main__":
    main()
