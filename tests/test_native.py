"""The cache of compiled libraries: whose files are loaded, and what becomes of damaged ones."""

import ctypes
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from utils import native
from utils.files import cache
from utils.native import find_compiler, load_library

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="needs a C++ compiler")
FLAGS = ("-shared", "-fPIC")


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A file with `int answer() { return 3; }`, and a cache of the test's own."""
    monkeypatch.setenv("VIDEO_HASHING_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "answer.cpp"
    path.write_text('extern "C" int answer() { return 3; }\n')
    return path


@pytest.fixture
def planted(tmp_path):
    """A library with another answer, as someone else would like it to be loaded."""
    path = tmp_path / "planted.cpp"
    path.write_text('extern "C" int answer() { return 666; }\n')
    subprocess.run([*find_compiler(), *FLAGS, str(path), "-o", str(tmp_path / "planted.so")], check=True)
    return tmp_path / "planted.so"


def load(source):
    library = load_library([source], FLAGS, "answer")
    assert isinstance(library, ctypes.CDLL), library
    assert library.answer() == 3
    return Path(library._name)


def test_the_cache_is_closed_to_others_and_used_again(source, tmp_path):
    before = os.umask(0o002)  # what is written is then open to the group
    try:
        first = load(source)
    finally:
        os.umask(before)
    assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700
    assert not first.stat().st_mode & 0o077
    inode = first.stat().st_ino
    assert load(source) == first
    assert first.stat().st_ino == inode
    assert [path.name for path in first.parent.iterdir()] == [first.name]
    first.parent.chmod(0o777)  # as an older version left it
    assert load(source) == first
    assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["answer.so", "same"])
def test_a_planted_library_of_ours_by_mode_but_not_by_content(source, planted, name):
    """Under the name that it had before the hash of its content, or under the compiled one's."""
    first = load(source)
    target = first.parent / (first.name if name == "same" else name)
    first.unlink()
    shutil.copy(planted, target)
    assert load(source) == first


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_another_user_owns_is_never_loaded(source, planted, what):
    """A folder or a file of his in a cache that he may write to, with the name and the hash that it should have."""
    folder = load(source).parent
    shutil.rmtree(folder)
    folder.mkdir(mode=0o777)
    target = folder / f"answer.{native._digest_of(planted)}.so"
    shutil.copy(planted, target)
    os.chown(folder if what == "folder" else target, 65534, 65534)
    assert (load(source).parent == folder) == (what == "file")
    assert target.exists() == (what == "folder")


def test_a_file_that_others_may_write_to_is_made_again(source, planted):
    folder = load(source).parent
    target = folder / f"answer.{native._digest_of(planted)}.so"
    shutil.copy(planted, target)
    target.chmod(0o777)
    next(path for path in folder.iterdir() if path != target).unlink()
    load(source)
    assert not target.exists()


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_cache_in_which_anyone_may_rename_folders(source, tmp_path, mode):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(mode)
    assert (load(source).parent.parent == tmp_path / "cache") == (mode == 0o1777)


def test_a_folder_that_is_a_link_is_not_followed(source, tmp_path):
    folder = load(source).parent
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert load(source).parent != folder


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "no library": lambda path: path.write_bytes(b"\x7fELF" * 1000),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "a link": lambda path: (path.rename(path.with_suffix(".moved")), path.symlink_to(path.with_suffix(".moved"))),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_library_is_made_again(source, damage):
    path = load(source)
    path.with_name("answer.abc.part").touch()  # of a build that was killed
    os.utime(path.with_name("answer.abc.part"), (0, 0))
    content = path.read_bytes()
    if damage not in ("a pipe", "a link"):
        path.unlink()  # this process has the file mapped
        path.write_bytes(content)
        path.chmod(0o700)
    DAMAGE[damage](path)
    assert load(source) == path
    assert path.read_bytes() == content
    assert not path.is_symlink()
    assert not path.with_name("answer.abc.part").exists()


def test_a_folder_in_place_of_a_library(source):
    path = load(source)
    path.unlink()
    path.mkdir()
    assert load(source).parent != path.parent


@pytest.mark.parametrize(("compiler", "words"), [
    ('g++ "', "CXX=g++ \": no command line (No closing quotation). Correct or unset it."),
    ("{folder}/no-program", "with {folder}/no-program failed: "),
    ("{folder}/hanging", "with {folder}/hanging failed: ")])
def test_a_compiler_that_is_none_is_told_in_a_line(source, tmp_path, monkeypatch, compiler, words):
    (tmp_path / "no-program").write_text("\x7fELF")
    (tmp_path / "hanging").write_text("#!/bin/sh\nexec sleep 60\n")
    for name in ("no-program", "hanging"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(native, "_VERSION_SECONDS", 0.2)
    monkeypatch.setenv("CXX", compiler.format(folder=tmp_path))
    reason = load_library([source], FLAGS, "answer")
    assert words.format(folder=tmp_path) in reason
    assert "\n" not in reason


def test_a_user_without_a_home(monkeypatch):
    for name in ("VIDEO_HASHING_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cache.Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert cache.private_folder("a") is None
