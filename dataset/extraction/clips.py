"""Frames of a video file. T frames, S the side of a decoded frame in pixels.

This is what runs in a child process (`dataset.extraction.worker`), so it imports neither torch nor HDF5.
"""

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from dataset.extraction import shots

MOST_PIXELS = 1 << 26  # of a frame, above 8K; what a header promises beyond is not decoded
MOST_RATIO = 64  # of a frame's sides
MOST_FRAMES = 1 << 20  # of a file: ten hours at 30 a second
FORMATS = "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,h264,hevc,ivf,m4v,mxf,yuv4mpegpipe"
_SCALER = VideoReformatter()  # one for all, since each frame's own would set up its filters, and threads, anew


class ClipError(ValueError):
    """What is wrong with a video file, in a few words."""


@dataclass(frozen=True)
class Shape:
    """How a frame becomes S x S pixels: `size` S; `crop`: its short side becomes S and the middle is kept, else both
    sides do, and nothing is cut off."""

    size: int
    crop: bool


@dataclass(frozen=True)
class Timeline:
    """When the frames of a file are shown: `times` ascending, in units of `base` seconds, and those of its keyframes.

    `exact`: whether every frame has a time of its own; else they are numbered, and nothing is skipped by them.
    """

    times: Sequence[int]
    keys: Sequence[int]
    base: Fraction
    exact: bool

    @property
    def seconds(self) -> float:
        """The length of the video; the last frame counts as long as the others do on average."""
        span = self.times[-1] - self.times[0]
        return float((span + Fraction(span, max(1, len(self.times) - 1))) * self.base)

    def key_before(self, time: int) -> int | None:
        """The time of the last keyframe up to `time`, None where there is none."""
        place = bisect_right(self.keys, time)
        return self.keys[place - 1] if place else None


def windows(seconds: float, window: float | None, stride: float | None) -> list[tuple[float, float]]:
    """(start, end) of the parts of a video that become an item each: all of it, or `window` seconds every `stride`.

    A last part that is shorter than a window is left out, unless the whole video is.
    """
    if window is None or seconds <= window:
        return [(0.0, seconds)]
    step = window if stride is None else stride
    return [(start * step, start * step + window) for start in range(int((seconds - window) / step + 1e-9) + 1)]


def read_clip(path: str | os.PathLike, num_frames: int, shape: Shape, window: float | None = None,
              stride: float | None = None, part: tuple[float, float] | None = None, by_shots: bool = False
              ) -> Iterator[tuple[tuple[float, float], np.ndarray, str]]:
    """For each window of a video (start, end), its frames, uint8 (T, S, S, 3), and a note, "" where none is due.

    With `part`, of those seconds alone; with `by_shots`, for each window of each shot.

    The frames are spread evenly over the window's time: the one shown at the middle of each T-th of it. Videos that
    are to be shown rotated are turned upright.

    Raises:
        ClipError: no video, a damaged one, or one too large.
    """
    try:
        with _opened(path) as (file, stream):
            timeline = _timeline(file, stream)
        note = "a single frame" if len(timeline.times) == 1 else ""
        whole = [part] if part else _shots(path, timeline) if by_shots else [(0.0, timeline.seconds)]
        for start, end in ((first + start, first + end) for first, last in whole
                           for start, end in windows(last - first, None if part else window, stride)):
            wanted = [_shown_at(timeline, start + (place + 0.5) / num_frames * (end - start))
                      for place in range(num_frames)]
            found = _decode(path, timeline, sorted(set(wanted)), shape)
            yield (start, end), np.stack([found[time] for time in wanted]), note
    except ClipError:
        raise
    except MemoryError as error:
        raise ClipError("takes too much memory to decode") from error
    except Exception as error:  # a damaged file makes a decoder raise nearly anything
        empty = os.path.isfile(path) and not os.path.getsize(path)
        raise ClipError("an empty file" if empty else f"cannot be decoded ({type(error).__name__})") from error


@contextmanager
def _opened(path: str | os.PathLike) -> Iterator[tuple[Any, Any]]:
    """The file and its first video stream. Of the formats, none that names further files or addresses is read."""
    limits = {"max_pixels": str(MOST_PIXELS)}
    options = limits | {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    with av.open(f"file:{os.fspath(path)}", options=options, metadata_errors="replace") as file:
        if not file.streams.video:
            raise ClipError("no video stream")
        stream = file.streams.video[0]
        if stream.codec_context is None:
            raise ClipError("a codec that is not known")
        stream.codec_context.options = limits
        stream.thread_type = "NONE"  # a process for each file keeps the processors busy
        _check_size(stream.codec_context)
        yield file, stream


def _check_size(picture) -> None:
    if picture.width * picture.height > MOST_PIXELS or max(picture.width, picture.height) > MOST_RATIO * max(
            1, min(picture.width, picture.height)):
        raise ClipError(f"frames of {picture.width} x {picture.height} pixels")


def _timeline(file, stream) -> Timeline:
    """From the packets alone, which are read but not decoded."""
    times: list[Any] = []
    keys: list[Any] = []
    exact = True
    for packet in file.demux(stream):
        if not packet.size:
            continue
        if len(times) >= MOST_FRAMES:
            raise ClipError(f"more than {MOST_FRAMES:,} frames")
        exact &= packet.pts is not None
        times.append(packet.pts)
        if packet.is_keyframe:
            keys.append(packet.pts)
    if not times:
        raise ClipError("no frame")
    if not exact or len(set(times)) < len(times):
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        return Timeline(range(len(times)), (), 1 / Fraction(rate), exact=False)
    return Timeline(sorted(times), sorted(keys), stream.time_base, exact=True)


def _shown_at(timeline: Timeline, seconds: float) -> int:
    """The time of the frame that is shown `seconds` after the first one begins."""
    moment = timeline.times[0] + seconds / timeline.base
    return timeline.times[max(0, bisect_right(timeline.times, moment) - 1)]


def _shots(path: str | os.PathLike, timeline: Timeline) -> Iterator[tuple[float, float]]:
    """(start, end) of each shot; all frames are decoded for it, small."""
    with _opened(path) as (file, stream):
        small = ((float((_time(timeline, number, frame) - timeline.times[0]) * timeline.base),
                  _pixels(frame, Shape(shots.SIZE, crop=False))) for number, frame in enumerate(_frames(file, stream)))
        yield from shots.shots(small, timeline.seconds)


def _time(timeline: Timeline, number: int, frame) -> int:
    return frame.pts if timeline.exact and frame.pts is not None else number


def _decode(path: str | os.PathLike, timeline: Timeline, wanted: Sequence[int], shape: Shape) -> dict[int, np.ndarray]:
    """time -> pixels for each of `wanted`, which ascends. What lies between is decoded only where no keyframe does.

    Packets that cannot be decoded are passed over: they matter where a wanted frame needs them.
    """
    found: dict[int, np.ndarray] = {}
    place, seeking = 0, bool(timeline.keys)
    with _opened(path) as (file, stream):
        while place < len(wanted):
            key = timeline.key_before(wanted[place]) if seeking else None
            if key is not None and (place or key > timeline.times[0]):
                file.seek(key, stream=stream)
            elif place:  # from the beginning, as the index of the file misleads
                file.seek(timeline.times[0], stream=stream)
            reached = _follow(_frames(file, stream), timeline, wanted, place, shape, found)
            if reached == place and not seeking:
                raise ClipError(f"damaged: {len(wanted) - place} of {len(wanted)} frames cannot be decoded")
            seeking &= reached > place
            place = reached
    return found


def _follow(frames: Iterator, timeline: Timeline, wanted: Sequence[int], place: int, shape: Shape,
            found: dict[int, np.ndarray]) -> int:
    """Decodes until the next wanted frame lies behind a later keyframe; how many of `wanted` are found then."""
    slack = 2 * (timeline.times[-1] - timeline.times[0]) / max(1, len(timeline.times) - 1)
    last = None
    for number, frame in enumerate(frames):
        time = _time(timeline, number, frame)
        while wanted[place] <= time:
            if time - wanted[place] > slack:
                return place
            found[wanted[place]] = _pixels(frame, shape)
            place += 1
            if place == len(wanted):
                return place
        last = frame, time
        if (timeline.key_before(wanted[place]) or time) > time:
            return place
    while place < len(wanted) and last is not None and wanted[place] - last[1] <= slack:
        found[wanted[place]] = _pixels(last[0], shape)
        place += 1
    return place


def _frames(file, stream):
    for packet in file.demux(stream):
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            continue


def _pixels(frame, shape: Shape) -> np.ndarray:
    """uint8 (S, S, 3), upright."""
    _check_size(frame)  # a stream may change it on the way
    size, width, height = shape.size, shape.size, shape.size
    if shape.crop:
        short = min(frame.width, frame.height)
        width, height = (max(size, round(side * size / short)) for side in (frame.width, frame.height))
    pixels = _SCALER.reformat(frame, width, height, "rgb24", interpolation="AREA", threads=1).to_ndarray()
    left, top = (width - size) // 2, (height - size) // 2
    return np.rot90(pixels[top:top + size, left:left + size], round(frame.rotation / 90))
