"""How the scripts begin and end: the device, and errors told in one line."""

import argparse
import errno
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from utils.errors import UserError
from utils.signals import line_of, stopping_at_once

if TYPE_CHECKING:
    import torch

_USERS_OS_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT,
                    errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP}


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
        words = sys.orig_argv if typed else [*program(Path(sys.argv[0]).stem), *sys.argv[1:]]
    words = [word for word in words if word != "--restart"]
    return shlex.join(words if "--resume" in words else [*words, "--resume"])


def end_with(errors: Sequence[str]) -> None:
    """Tells all `errors`, a line each, and ends with exit status 2; goes on where there are none."""
    for message in errors:
        print(f"error: {message}", file=sys.stderr)
    if errors:
        raise SystemExit(2)


def close_with(written: Sequence[object], following: str = "") -> None:
    """The last line of a script: every file that it wrote, and the command that comes next."""
    print("; ".join([*([f"written: {', '.join(map(str, written))}"] if written else []),
                     *([f"next: {following}"] if following else [])]))


def counted(number: int, noun: str) -> str:
    """`1 item`, `2 items`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def first_step(config: str | os.PathLike, data_root: str, usual: str) -> str:
    """The command that makes what training reads from the data in `data_root`, by a config of this project, as
    `configs/S5VH/digits.py`, which has them in `usual`."""
    moved = [] if os.path.normpath(data_root) == usual else ["--set", f"data_root={os.path.join(data_root, '')}"]
    return shlex.join(["python", of_project("preprocess.py"), "--config", of_project(config), *moved])


def of_project(path: str | os.PathLike) -> str:
    """A file of this project, `path` in it, as it is called from the working folder."""
    return os.path.relpath(Path(__file__).parent.parent / path)


def vh_command(*words: str) -> str:
    """A command of `vh`, which not everybody has installed."""
    installed = os.path.basename(sys.argv[0]) == "vh" or shutil.which("vh")
    return shlex.join([*(["vh"] if installed else ["python", "-m", "vh"]), *words])


def program(script: str) -> list[str]:
    """The words by which the user starts another of the scripts, as he has started this one: `python train.py`,
    `python ../hashing/train.py` or `vh train`."""
    before = sys.orig_argv[:len(sys.orig_argv) - len(sys.argv) + 1]
    whole = sys.argv[1:] == sys.orig_argv[len(before):]
    if whole and len(before) > 2 and before[-1] == Path(sys.argv[0]).stem:
        return ["python", "-m", "vh", script] if before[-3] == "-m" or before[-2].endswith(".py") else ["vh", script]
    return ["python", os.path.join(os.path.dirname(sys.argv[0]), f"{script}.py")]


def share(text: str) -> tuple[int, int]:
    """I and N of `--shard I/N`. Raises argparse.ArgumentTypeError where it is none."""
    number, _, count = text.partition("/")
    if not number.isdecimal() or not count.isdecimal() or not 1 <= int(number) <= int(count):
        raise argparse.ArgumentTypeError(f"expected I/N with I from 1 to N, as 3/8, not '{text}'")
    return int(number), int(count)


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
        raise UserError(f"--gpu {gpu}: {counted(found, 'GPU')} found; choose "
                        f"{f'0 to {found - 1}' if found > 1 else '0' if found else '--gpu cpu'}.")
    return torch.device("cuda", int(wanted))


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
