"""The folder of this user's own in which what is slow to make is kept between runs."""

import os
import stat
from pathlib import Path


def cache_folder() -> Path:
    """`$VIDEO_HASHING_CACHE`, else `$XDG_CACHE_HOME/video-hashing`, else `~/.cache/video-hashing`; it may not be there.

    Raises:
        RuntimeError: none of them, and the user has no home.
    """
    chosen, shared = os.environ.get("VIDEO_HASHING_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if chosen:
        return Path(chosen)
    return (Path(shared) if shared else Path.home() / ".cache") / "video-hashing"


def private_folder(name: str) -> Path | None:
    """The folder `name` in the cache, made where it is missing, of mode 0700; None where there cannot be one of ours.

    The cache itself may be shared, like /tmp: `name` in it must belong to this user, be no link and in no place where
    others may rename it. It is then closed to them.
    """
    try:
        top = cache_folder().absolute()
        top.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = top / name
        folder.mkdir(exist_ok=True, mode=0o700)
        return folder if _out_of_others_reach(top.resolve()) and _made_private(folder) else None
    except (OSError, RuntimeError):
        return None


def is_ours(status: os.stat_result) -> bool:
    """Whether this user owns what `status` is of, and nobody else may change it."""
    return os.name != "posix" or (status.st_uid == os.geteuid() and not status.st_mode & 0o022)


def _made_private(folder: Path) -> bool:
    """Whether `folder` is ours; others are then shut out."""
    if os.name != "posix":
        return True
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        return False
    if status.st_mode & 0o077:
        os.chmod(folder, 0o700)
    return True


def _out_of_others_reach(folder: Path) -> bool:
    """Whether not everyone can rename what lies in `folder`, or a folder above it."""
    modes = [os.stat(place).st_mode for place in (folder, *folder.parents)]
    return all(not mode & stat.S_IWOTH or mode & stat.S_ISVTX for mode in modes)
