"""Completion of the command `vh` in a shell: `vh completion bash`, `vh completion zsh`."""

import argparse
import runpy
import sys
from collections.abc import Iterator, Sequence
from unittest import mock

from utils.config.schema import known_keys
from utils.errors import UserError
from vh import ROOT

_BASH = """\
# vh completion bash > ~/.local/share/bash-completion/completions/vh
_vh() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} words
    case "${{COMP_WORDS[*]:1:COMP_CWORD-1}} " in
{cases}
    esac
    [[ $cur == -* || $words != -* ]] && COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -o default -F _vh vh
"""
_ZSH = """\
# vh completion zsh > ~/.vh.zsh, and in ~/.zshrc, after compinit: source ~/.vh.zsh
_vh() {{
    local words_before="${{words[2,CURRENT-1]}} " given
    case $words_before in
{cases}
    esac
    if [[ $PREFIX == -* || $given != -* ]]; then compadd -- ${{=given}}; else _files; fi
}}
compdef _vh vh
"""
_SHELLS = {"bash": (_BASH, "words"), "zsh": (_ZSH, "given")}


class _Built(BaseException):
    """Ends a script where its parser is ready."""


def completion(shell: str, own: argparse.ArgumentParser, scripts: Sequence[str]) -> str:
    """What a shell is to source, made of the parser of `vh` and of those of its scripts.

    Raises:
        UserError: another shell than bash and zsh.
    """
    if shell not in _SHELLS:
        raise UserError(f"completion {shell}: there is bash, and zsh.")
    text, variable = _SHELLS[shell]
    words = dict(_words(own)) | {f"{name}{more}": found for name in scripts
                                 for more, found in _words(_parser_of(name), " ")}
    lines = [f'        {command.replace(" ", chr(92) + " ")}*) {variable}="{" ".join(found)}" ;;'
             for command, found in sorted(words.items(), reverse=True)]  # the longer of two beginnings first
    return text.format(cases="\n".join(lines))


def _words(parser: argparse.ArgumentParser, command: str = "") -> Iterator[tuple[str, list[str]]]:
    """(the words before, what may follow) of a parser and of its commands: their names, or flags."""
    commands = next((action.choices for action in parser._actions
                     if isinstance(action, argparse._SubParsersAction)), None)
    flags = [flag for flag in parser._option_string_actions if flag.startswith("--")]
    keys = [f"--{name}" for name in known_keys()] if getattr(parser, "takes_keys", False) else []
    yield command, list(commands) if commands else sorted({*flags, *keys})
    for name, one in (commands or {}).items():
        yield from _words(one, f"{command}{name} ")


def _parser_of(script: str) -> argparse.ArgumentParser:
    """The parser that a script builds, which ends there."""
    path = str(ROOT / f"{script}.py")

    def found(parser, *arguments, **settings):
        raise _Built(parser)

    try:
        with mock.patch.object(argparse.ArgumentParser, "parse_args", found), mock.patch.object(sys, "argv", [path]):
            runpy.run_path(path, run_name="__main__")
    except _Built as built:
        return built.args[0]
    raise AssertionError(f"{path} parses nothing")
