"""The command line of a config: its file, and every key as an option.

    train.py --config configs/S5VH/act.py --nbits 16 --set seed=2 run_name=seed2
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from utils.cli import program
from utils.config.keys import REQUIRED, Key
from utils.config.loading import load_config
from utils.config.schema import known_keys, nearest_key
from utils.config.values import Config
from utils.errors import UserError


class _Override(argparse.Action):
    """Keeps every override in the order given, so that of two for one key the later one counts."""

    def __call__(self, parser, namespace, values, option_string=None):
        for pair in values:
            if "=" not in pair:
                parser.error(f"{option_string} expects key=value, not '{pair}'")
        namespace.overrides = [*namespace.overrides, *(pair.split("=", 1) for pair in values)]


class ConfigParser(argparse.ArgumentParser):
    """A parser that takes any key of a config as a flag, `--nbits 16` for `--set nbits=16`.

    --help stays short: --help-keys has the tables of the keys. An unknown flag names the nearest key.
    """

    takes_keys = False

    def format_help(self) -> str:
        if self.takes_keys:
            self.epilog = ("Every key of the config is a flag as well: --nbits 16, for --set nbits=16. --help-keys\n"
                           "names their groups, --help-keys GROUP lists one (train, model, ...), --help-keys all all.")
        return super().format_help()

    def parse_known_args(self, args=None, namespace=None):
        words = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(list(self._without_key_flags(words)) if self.takes_keys else words, namespace)

    def _without_key_flags(self, words: Sequence[str]) -> Iterator[str]:
        """`words` with every flag of a key in the form of --set."""
        waiting = iter(words)
        following = next(waiting, None)
        while following is not None:
            word, following = following, next(waiting, None)
            flag, equals, value = word.partition("=")
            if not word.startswith("--") or word == "--" or flag in self._option_string_actions:
                yield word
                continue
            key = self._key_of(flag)
            takes_next = not equals and following is not None and not following.startswith("--") and (
                key.kind != "bool" or following.lower() in ("true", "false"))
            if takes_next:
                value, following = str(following), next(waiting, None)
            elif not equals:
                if key.kind != "bool":
                    self.error(f"argument {flag}: expected one argument")
                value = "True"
            yield f"--set={key.name}={value}"  # with "=" it takes no word behind it

    def _key_of(self, flag: str) -> Key:
        known = known_keys()
        key = known.get(flag[2:]) or known.get(flag[2:].replace("-", "_"))
        return key or self._refuse(flag)

    def _refuse(self, flag: str) -> NoReturn:
        flags = [*(known.lstrip("-") for known in self._option_string_actions), *known_keys()]
        nearest = nearest_key(flag[2:], flags)
        hint = (f"did you mean --{nearest}?" if nearest
                else "--help-keys all lists them; a key of a method outside the project takes --set.")
        self.exit(2, f"error: unknown flag {flag}; {hint}\n")


class _HelpKeys(argparse.Action):
    """Prints keys and ends: the names of their groups, or the keys of the group named."""

    def __call__(self, parser, namespace, values, option_string=None):
        print(describe_keys(values))
        parser.exit()


def add_config_arguments(parser: ConfigParser, *, positional: bool = True) -> None:
    """Gives `parser` --config, --gpu, --set, --print-config, every key as a flag and, if `positional`, a path."""
    parser.add_argument("--config", metavar="FILE", help="config, as configs/S5VH/act.py; it is executed")
    if positional:
        parser.add_argument("config_path", nargs="?", metavar="FILE", help="the same, without --config")
    add_shared_arguments(parser)
    parser.add_argument("--print-config", action="store_true", help="print the resolved config and stop")
    parser.add_argument("--help-keys", metavar="GROUP", nargs="?", action=_HelpKeys,
                        help="list the keys of the config: their groups, those of one, or all")
    parser.allow_abbrev = False
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.takes_keys = True


def add_shared_arguments(parser: argparse.ArgumentParser) -> None:
    """Gives `parser` --gpu, for `choose_device`, and --set, whose [key, text] pairs come as `overrides`."""
    parser.add_argument("--gpu", metavar="N", help="a GPU's number, or cpu; left out: GPU 0 if there is one")
    parser.add_argument("--set", nargs="+", metavar="KEY=VALUE", action=_Override, dest="overrides",
                        default=[], help="override keys of the config")


def config_from_arguments(arguments: argparse.Namespace, stored: Callable[[], Config] | None = None) -> Config:
    """The config that the parsed command line asks for; with --print-config it is printed, and exit status 0.

    Args:
        stored: gives the config that stands where the command line names none.

    Raises:
        UserError: no config given, or two, or whatever `load_config` finds wrong.
    """
    paths = [path for path in (arguments.config, getattr(arguments, "config_path", None)) if path]
    if len(paths) > 1:
        raise UserError(f"two configs given, {paths[0]} and {paths[1]}; name one.")
    if paths:
        arguments.config = paths[0]
        config = load_config(paths[0], dict(arguments.overrides))
    elif stored is None:
        raise UserError("no config given; name one, as in --config configs/S5VH/act.py.")
    elif arguments.overrides:
        raise UserError(f"--set {arguments.overrides[0][0]}: only a config can be overridden. Name it with --config.")
    else:
        config = stored()
    if arguments.print_config:
        print(config.as_text(), end="")
        raise SystemExit(0)
    return config


def command_line(script: str, arguments: argparse.Namespace, *more: str) -> str:
    """The command that runs `script`, as `train` or `search encode`, with the config, the overrides and the --gpu of
    `arguments`, and `more`."""
    name, *command = script.split()
    words = [*program(name), *command, *(["--config", str(arguments.config)] if arguments.config else []), *more]
    if arguments.gpu is not None:
        words += ["--gpu", str(arguments.gpu)]
    overrides = [f"{name}={text}" for name, text in dict(arguments.overrides).items()]
    return shlex.join([*words, "--set", *overrides] if overrides else words)


def describe_keys(group: str | None) -> str:
    """A table of the keys of `group`: kind, default, range and meaning, under their owner; None: what groups there are.

    A group is the owner of keys, as `train` or `method vhmt`, or the last word of it; `all` are all.

    Raises:
        UserError: there is no such group.
    """
    owners: dict[str, list[Key]] = {}
    for key in known_keys().values():
        owners.setdefault(key.owner, []).append(key)
    if group is None:
        width = max(map(len, owners))
        return "\n".join(["groups of keys, for --help-keys GROUP:",
                          *(f"  {owner:<{width}}  {_shortened(keys)}" for owner, keys in owners.items())])
    chosen = [owner for owner in owners if group in ("all", owner, owner.rpartition(" ")[2])]
    if not chosen:
        raise UserError(f"--help-keys {group}: no such group; there are {', '.join(owners)} and all.")
    lines = ["keys of a config, for --set nbits=16, each also a flag (--nbits 16):"]
    for owner in chosen:
        lines += ["", f"{owner}:"]
        for key in owners[owner]:
            lines += [f"  {key.name}  ({_describe(key)})", f"      {key.help}"]
    return "\n".join(lines)


def _shortened(keys: Sequence[Key]) -> str:
    more = f", {len(keys) - 4} more" if len(keys) > 4 else ""
    return ", ".join(key.name for key in keys[:4]) + more


def _describe(key: Key) -> str:
    kind = "|".join(key.choices) if key.choices else key.kind
    span = f" {key.range}" if key.range else ""
    return f"{kind}{span}, " + ("required" if key.default is REQUIRED else f"default {key.default!r}")
