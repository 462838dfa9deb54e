"""A damaged library in the cache of compiled ones."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path
from unittest import mock

from utils import native
from utils.native import find_compiler, load_library


def make_libraries(folder: Path) -> None:
    """Writes a library that answers 3, and its source beside the folder."""
    source = folder / "answer.cpp"
    source.write_text('extern "C" int answer() { return 3; }\n')
    command = [*(find_compiler() or ()), "-shared", "-fPIC", str(source), "-o", str(folder / "answer.so")]
    subprocess.run(command, check=True)
    source.rename(folder.parent / "answer.cpp")


def read_library(path: Path) -> None:
    """Whatever lies in the cache, what is loaded is what was compiled; the compiler copies, which is faster."""
    source, good = path.parents[1] / "answer.cpp", path.parents[1] / "libraries/answer.so"
    script = path.with_name("c++")
    script.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exit\nfor last; do :; done\ncp {good} "$last"\n')
    script.chmod(0o755)
    with mock.patch.dict(os.environ, {"CXX": str(script), "VIDEO_HASHING_CACHE": str(path.with_name("cache"))}):
        folder = next(native._folders([source], [str(script)], [str(script)]))
        planted = folder / f"answer.{native._digest_of(good)}.so"
        shutil.copy(path, planted)
        planted.chmod(0o700)
        library = load_library([source], (), "answer")
    assert isinstance(library, ctypes.CDLL), library
    assert library.answer() == 3
    assert planted.read_bytes() == good.read_bytes()
