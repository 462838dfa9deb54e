"""What the scripts share of their command line: the config, the device, and errors told in one line."""

import argparse
import errno
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from utils.config import Config, load_config
from utils.config.keys import REQUIRED, Key
from utils.config.schema import SCHEMA, nearest_key
from utils.errors import UserError
from utils.signals import line_of, stopping_at_once

if TYPE_CHECKING:
    import torch

_USERS_OS_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT,
                    errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP}


class _Override(argparse.Action):
    """Keeps every override in the order given, so that of two for one key the later one counts."""

    def __call__(self, parser, namespace, values, option_string=None):
        pairs = values if isinstance(values, list) else [f"{self.metavar}={values}"]
        for pair in pairs:
            if "=" not in pair:
                parser.error(f"{option_string} expects key=value, not '{pair}'")
        namespace.overrides = [*namespace.overrides, *(pair.split("=", 1) for pair in pairs)]


def add_config_arguments(parser: argparse.ArgumentParser, *, positional: bool = True) -> None:
    """Gives `parser` --config, --gpu, --set, --print-config, a flag per key and, if `positional`, a path.

    --help stays compact: the keys stand in a table below it. An unknown flag names the nearest key.
    """
    parser.add_argument("--config", metavar="FILE", help="config, as configs/S5VH/act.py; it is executed")
    if positional:
        parser.add_argument("config_path", nargs="?", metavar="FILE", help="the same, without --config")
    add_shared_arguments(parser)
    parser.add_argument("--print-config", action="store_true", help="print the resolved config and stop")
    for name, key in SCHEMA.items():
        flags = dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}"))
        bare: dict[str, Any] = {"nargs": "?", "const": "True"} if key.kind == "bool" else {}
        parser.add_argument(*flags, action=_Override, dest="overrides", metavar=name, default=[],
                            help=argparse.SUPPRESS, **bare)
    parser.allow_abbrev = False
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = describe_schema()
    _name_nearest_flag(parser)


def add_shared_arguments(parser: argparse.ArgumentParser) -> None:
    """Gives `parser` --gpu, for `choose_device`, and --set, whose [key, text] pairs come as `overrides`."""
    parser.add_argument("--gpu", metavar="N", help="a GPU's number, or cpu; left out: GPU 0 if there is one")
    parser.add_argument("--set", nargs="+", metavar="KEY=VALUE", action=_Override, dest="overrides",
                        default=[], help="override keys of the config")


def config_from_arguments(arguments: argparse.Namespace) -> Config:
    """The config that the parsed command line asks for; with --print-config it is printed, and exit status 0.

    Raises:
        UserError: no config given, or two, or whatever `load_config` finds wrong.
    """
    paths = [path for path in (arguments.config, getattr(arguments, "config_path", None)) if path]
    if not paths:
        raise UserError("no config given; name one, as in --config configs/S5VH/act.py.")
    if len(paths) > 1:
        raise UserError(f"two configs given, {paths[0]} and {paths[1]}; name one.")
    config = load_config(paths[0], dict(arguments.overrides))
    if arguments.print_config:
        print(config.as_text(), end="")
        raise SystemExit(0)
    return config


def run_script(main: Callable[[], object]) -> None:
    """Calls `main`. What a user can mend ends in one line on stderr and exit status 2; an interrupt in 130, SIGTERM in
    143; a reader of the output that has gone (`| head`) in 141, without a word.

    The former is a UserError, or an OSError of the file system: disk full, no permission, nothing there. All other
    exceptions are faults of the program and keep their traceback. What the terminal's encoding lacks is shown as \\x...
    """
    if getattr(sys.stdout, "errors", None) == "strict" and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with stopping_at_once():
            _run_and_flush(main)
    except UserError as error:
        _fail(str(error))
    except BrokenPipeError:
        _forget_output()
        raise SystemExit(128 + getattr(signal, "SIGPIPE", 13)) from None
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        if error.errno not in _USERS_OS_ERRORS or (error.filename is None and not is_full):
            raise
        where = f"{error.filename}: " if error.filename is not None else ""
        _fail(f"{where}{error.strerror}.")
    except KeyboardInterrupt as stop:
        signum = getattr(stop, "signum", signal.SIGINT)
        with suppress(OSError):  # a closed terminal
            print(line_of(signum), file=sys.stderr)
        raise SystemExit(128 + signum) from None


def resume_command() -> str:
    """The command line that continues what this process was asked to do: its own, with --resume, without --restart.

    Under torchrun, as many processes as there are on this machine.
    """
    typed = sys.orig_argv[-len(sys.argv):] == sys.argv  # also the interpreter and its flags; not so under `python -m`
    if "TORCHELASTIC_RUN_ID" in os.environ:
        words = ["torchrun", "--nproc_per_node", os.environ["LOCAL_WORLD_SIZE"], *sys.argv]
    else:
        words = sys.orig_argv if typed else ["python", *sys.argv]
    words = [word for word in words if word != "--restart"]
    return shlex.join(words if "--resume" in words else [*words, "--resume"])


def choose_device(gpu: str | int | None) -> "torch.device":
    """The device of --gpu: None is the first GPU where there is one, else the CPU; 'cpu'; or a GPU's number.

    Raises:
        UserError: no such GPU, or neither a number nor 'cpu'.
    """
    import torch  # here, so that --help and a wrong config answer at once

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    wanted = ("0" if found else "cpu") if gpu is None else str(gpu).strip().lower()
    if wanted == "cpu":
        return torch.device("cpu")
    if not (wanted.isascii() and wanted.isdigit()):
        raise UserError(f"--gpu {gpu}: expected the number of a GPU, or cpu.")
    if int(wanted) >= found:
        raise UserError(f"--gpu {gpu}: {found} GPU{'' if found == 1 else 's'} found; choose "
                        f"{f'0 to {found - 1}' if found > 1 else '0' if found else '--gpu cpu'}.")
    return torch.device("cuda", int(wanted))


def describe_schema() -> str:
    """A table of every key for --help: kind, default, range and meaning, by group."""
    lines = ["keys of a config, for --set nbits=16, each also a flag (--nbits 16):"]
    group = None
    for name, key in SCHEMA.items():
        if key.group != group:
            group = key.group
            lines += ["", f"{group}:"]
        lines += [f"  {name}  ({_describe(key)})", f"      {key.help}"]
    return "\n".join(lines)


def _describe(key: Key) -> str:
    kind = "|".join(key.choices) if key.choices else key.kind
    span = f" {key.range}" if key.range else ""
    return f"{kind}{span}, " + ("required" if key.default is REQUIRED else f"default {key.default!r}")


def _name_nearest_flag(parser: argparse.ArgumentParser) -> None:
    """Makes `parser`, which may be a subcommand's, end at an unknown flag with the name of the nearest."""
    parse = parser.parse_known_args

    def parse_known_args(args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None):
        known, rest = parse(args, namespace)
        for flag in (word.split("=", 1)[0] for word in rest if word.startswith("--") and word != "--"):
            flags = [known_flag.lstrip("-") for known_flag in parser._option_string_actions]
            nearest = nearest_key(flag[2:], flags)
            hint = f"did you mean --{nearest}?" if nearest else "--help lists them all."
            parser.exit(2, f"error: unknown flag {flag}; {hint}\n")
        return known, rest

    parser.parse_known_args = parse_known_args  # type: ignore[method-assign, assignment]


def _run_and_flush(main: Callable[[], object]) -> None:
    """Calls `main`; output that cannot be written any more raises here, not when the interpreter ends."""
    try:
        main()
    except SystemExit:  # of --help
        if sys.stdout is not None:
            sys.stdout.flush()
        raise
    if sys.stdout is not None:
        sys.stdout.flush()


def _forget_output() -> None:
    """Turns the output whose reader has gone to nowhere, as the interpreter writes the rest of it when it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        except (AttributeError, ValueError):  # none, or closed
            pass


def _fail(message: str) -> None:
    print("error: " + " ".join(message.splitlines()), file=sys.stderr)
    raise SystemExit(2)
