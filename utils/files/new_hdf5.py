"""HDF5 files written where the disk may fail."""

import os
from types import TracebackType

import h5py


class NewHdf5:
    """A new HDF5 file at `path`, as a block that gives the open `h5py.File`.

    HDF5 does not survive a disk that is full: it goes on to write what it could not, and crashes at the end of the
    program. Here it is never told: a write that fails is remembered and raised when the file is closed.

    Raises:
        OSError: from `check` and at the end of the block, the first that the operating system has raised.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self._path = path

    def __enter__(self) -> h5py.File:
        self._disk = _Disk(self._path)
        try:
            self._file = h5py.File(self._disk, "w")
        except BaseException:
            self._disk.close()
            raise
        return self._file

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        try:
            self._file.close()
        finally:
            self._disk.close()
        if error is None or isinstance(error, Exception):  # whatever came of a disk that failed
            self.check()

    def check(self) -> None:
        """Raises what has failed so far, for who writes much."""
        if self._disk.error is not None:
            raise self._disk.error


class _Disk:
    """A file as h5py asks of a Python object, which keeps the first failure to write to itself as `error`.

    An interrupt is kept as well: within HDF5 it would be a failure like any other.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.error: BaseException | None = None
        self._place = 0
        self._end = 0
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        self._place = place + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._end}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def write(self, data: memoryview) -> int:
        left, size = memoryview(data).cast("B"), memoryview(data).nbytes
        try:
            while left and self.error is None:
                done = os.pwrite(self._descriptor, left, self._place)
                self._place += done
                left = left[done:]
        except BaseException as error:
            self.error = error
        self._place += len(left)
        self._end = max(self._end, self._place)
        return size

    def read(self, size: int = -1) -> bytes:
        """Never called: h5py knows a file by it."""
        raise NotImplementedError

    def readinto(self, data: memoryview) -> int:
        """What was written; zeros where nothing was."""
        target = memoryview(data).cast("B")
        found = b""
        try:
            found = os.pread(self._descriptor, len(target), self._place)
        except BaseException as error:
            self.error = self.error or error
        target[:] = found.ljust(len(target), b"\0")
        self._place += len(target)
        return len(target)

    def truncate(self, size: int | None = None) -> int:
        self._end = self._place if size is None else size
        try:
            os.ftruncate(self._descriptor, self._end)
        except BaseException as error:
            self.error = self.error or error
        return self._end

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        os.close(self._descriptor)
