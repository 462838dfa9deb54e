"""Completion in a shell: what bash and zsh offer behind the words typed so far."""

import shutil
import subprocess

import pytest

from tests.pipeline import run
from utils.config.schema import CORE

BASH = """source {file}; COMP_WORDS=({words}); COMP_CWORD={last}; _vh; printf '%s\\n' "${{COMPREPLY[@]}}" """
ZSH = """compdef() {{ }}; compadd() {{ shift; print -l -- $@ }}; _files() {{ print files }}; source {file}
words=({words}); CURRENT={last}; PREFIX={word}; _vh"""


def completion(shell):
    return run("vh/__main__.py", "completion", shell)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("completion")
    for shell in "bash", "zsh":
        made = completion(shell)
        assert made.code == 0, made.errors
        (folder / shell).write_text(made.output)
    return folder


def of_bash(files, *typed):
    words = " ".join(f"'{word}'" for word in typed)
    script = BASH.format(file=files / "bash", words=words, last=len(typed) - 1)
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split()


def test_bash_offers_commands_then_flags_then_files(files):
    assert of_bash(files, "vh", "pre") == ["preprocess"]
    assert {"init", "train", "completion"} < set(of_bash(files, "vh", ""))
    assert of_bash(files, "vh", "search", "q") == ["query"]
    assert of_bash(files, "vh", "search", "query", "--top") == ["--topk"]
    assert of_bash(files, "vh", "train", "--config", "a b.py", "--dry") == ["--dry-run"]
    assert of_bash(files, "vh", "train", "--nb") == ["--nbits"]
    assert {f"--{name}" for name in CORE} < set(of_bash(files, "vh", "train", "--"))
    assert of_bash(files, "vh", "reproduce", "--nb") == []  # takes no keys as flags
    assert of_bash(files, "vh", "train", "") == of_bash(files, "vh", "train", "--config", "conf") == []  # files, then
    assert of_bash(files, "vh", "init", "--qu") == ["--queries", "--query-labels"]


def test_zsh_offers_the_same(files):
    if shutil.which("zsh") is None:
        pytest.skip("not installed: zsh")
    for typed, offered in ((["vh", "train", "--dry"], "--dry-run"), (["vh", "search", "q"], "query"),
                           (["vh", "train", ""], "files")):
        script = ZSH.format(file=files / "zsh", words=" ".join(f"'{word}'" for word in typed), last=len(typed),
                            word=f"'{typed[-1]}'")
        found = subprocess.run(["zsh", "-fc", script], capture_output=True, text=True, check=True).stdout.split()
        assert offered in found
        assert (found == ["files"]) is (offered == "files")


def test_another_shell_is_told_in_a_line():
    refused = completion("fish")
    assert (refused.code, refused.errors) == (2, "error: completion fish: there is bash, and zsh.\n")
