"""Videos decoded by child processes, ahead of what is made of them. T frames."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset.extraction.recipe import Recipe

MOST_SECONDS = 120.0  # from one window, or shot, of a video to the next
MOST_MEMORY = 2 << 30  # bytes of a process
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Window:
    """Frames, or features, of the video numbered `video`, (T, ...), and the seconds of it that they are of."""

    video: int
    seconds: tuple[float, float]
    frames: np.ndarray


@dataclass(frozen=True)
class End:
    """Nothing more comes of the video numbered `video`: what is to be noted, or why it `failed`."""

    video: int
    note: str
    failed: bool


class Decoder:
    """A child process that decodes one video after another; one that dies, hangs or takes too much memory costs the
    video that it was at."""

    def __init__(self, seconds: float = MOST_SECONDS, memory: int = MOST_MEMORY) -> None:
        self._seconds, self._memory = seconds, memory
        self._child: subprocess.Popen | None = None

    def read(self, path: str | os.PathLike, recipe: Recipe, *, described: bool,
             use: Callable[[tuple[float, float], np.ndarray], object],
             part: tuple[float, float] | None = None) -> tuple[str, bool]:
        """Calls `use` with each window's seconds and frames as they come, or with those of the seconds of `part` alone;
        the note, and whether the video failed."""
        request = {"path": os.path.abspath(path), "num_frames": recipe.num_frames, "size": recipe.size,
                   "crop": recipe.crop, "window": recipe.window, "stride": recipe.stride, "shots": recipe.shots,
                   "part": part, "hog": described}
        late = threading.Event()
        try:
            child = self._running()
            assert child.stdin is not None
            child.stdin.write(json.dumps(request).encode() + b"\n")
            child.stdin.flush()
            while True:
                head = self._in_time(child, late)
                if "window" not in head:
                    return head.get("error", head.get("note", "")), "error" in head
                use(tuple(head["window"]), head["array"])
        except (OSError, ValueError, EOFError):
            self.close()
            return (f"took more than {self._seconds:g} s" if late.is_set() else "the decoder crashed"), True

    def _in_time(self, child: subprocess.Popen, late: threading.Event) -> dict:
        """The next line of the answer, with its array; the child is killed where it takes too long for it."""
        def end() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(self._seconds, end)
        timer.daemon = True
        timer.start()
        assert child.stdout is not None
        try:
            head = json.loads(child.stdout.readline())
            if "window" in head:
                array = np.empty(head["shape"], head["dtype"])
                if child.stdout.readinto(array.data.cast("B")) < array.nbytes:  # type: ignore[attr-defined]
                    raise EOFError
                head["array"] = array
            return head
        finally:
            timer.cancel()

    def _running(self) -> subprocess.Popen:
        if self._child is None or self._child.poll() is not None:
            self.close()
            paths = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
            self._child = subprocess.Popen(
                [sys.executable, "-m", "dataset.extraction.worker", str(self._memory)], cwd=_ROOT,
                env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=1 << 20,
                start_new_session=True)  # Ctrl-C is the parent's
        return self._child

    def kill(self) -> None:
        """Ends the child, also from another thread: what is being read fails."""
        if (child := self._child) is not None:
            child.kill()

    def close(self) -> None:
        """Ends the child, and frees what it took."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            for pipe in (self._child.stdin, self._child.stdout):
                with suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
            self._child = None


def decoded(paths: Sequence[str | os.PathLike], recipe: Recipe, *, described: bool, num_processes: int,
            seconds: float = MOST_SECONDS) -> Iterator[Window | End]:
    """The windows of all videos, as they are decoded; those of one video in order, and its End behind them.

    `num_processes` videos are read at once, and a few windows wait to be used, so memory is bounded.
    """
    ready, take = _Ready(4 * num_processes), threading.Lock()
    todo = iter(range(len(paths)))

    def work(decoder: Decoder) -> None:
        try:
            while not ready.stop.is_set():
                with take:
                    number = next(todo, None)
                if number is None:
                    return
                note, failed = decoder.read(paths[number], recipe, described=described, use=lambda seconds, frames: (
                    ready.put(Window(number, seconds, frames))))  # noqa: B023 - used before the next number
                ready.put(End(number, note, failed))
        except EOFError:
            pass
        finally:
            decoder.close()

    decoders = [Decoder(seconds) for _ in range(min(num_processes, len(paths)))]
    threads = [threading.Thread(target=work, args=(decoder,), daemon=True) for decoder in decoders]
    for thread in threads:
        thread.start()
    try:
        for _ in paths:
            while not isinstance(item := ready.get(), End):
                yield item
            yield item
    finally:
        ready.stop.set()
        for decoder in decoders:
            decoder.kill()
        for thread in threads:
            thread.join()


class _Ready(queue.Queue):
    """A queue whose `put` raises EOFError once nobody takes from it any more: `stop` is set."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.stop = threading.Event()

    def put(self, item: Window | End, *_: object) -> None:  # type: ignore[override]
        while not self.stop.is_set():
            with suppress(queue.Full):
                super().put(item, timeout=0.1)
                return
        raise EOFError
