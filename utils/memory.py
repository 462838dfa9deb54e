"""How much main memory a process may still take."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Bytes that can be taken now without swapping, within a container's limit; None where nothing tells."""
    return min(_limits(), default=None)


def _limits() -> Iterator[int]:
    if MEMINFO.exists():
        yield _field(MEMINFO, "MemAvailable:") * 1024
    else:
        with suppress(AttributeError, OSError, ValueError):  # not on every system
            yield os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # "max", no number, where there is no limit
        yield max(0, int((CGROUP / "memory.max").read_text()) - _field(CGROUP / "memory.stat", "anon"))


def _field(path: Path, name: str) -> int:
    """The number behind `name` in a file of such lines."""
    for line in path.read_text().splitlines():
        words = line.split()
        if words[:1] == [name]:
            return int(words[1])
    raise ValueError(f"{path}: no {name}")
