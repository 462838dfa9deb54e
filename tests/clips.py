"""Small video files, made here: frame n of a clip is as bright as n says."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

STEP = 8  # of brightness from frame to frame


def frames_of(count: int, seed: int = 0, height: int = 48, width: int = 64) -> np.ndarray:
    """uint8 (count, height, width, 3): a pattern of `seed` in the lower half, under a band whose grey is STEP n."""
    rng = np.random.default_rng(seed)
    pattern = rng.integers(0, 255, (1, height // 16, width // 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    frames = np.zeros((count, height, width, 3), np.uint8)
    frames[:, height // 2:] = pattern[:, :height // 2]
    frames[:, :height // 2] = (np.arange(count) * STEP % 256)[:, None, None, None]
    return frames


def write_clip(path: Path, frames: np.ndarray, *, rate: int = 10, times: list[int] | None = None, gop: int = 12,
               codec: str = "libx264", audio: bool = False) -> Path:
    """A file of `frames`, shown at `times` (in 1 / rate seconds; default: one after another)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        if audio:
            sound = file.add_stream("aac", rate=8000)
            for packet in sound.encode(silence()):
                file.mux(packet)
            file.mux(sound.encode(None))
        if len(frames):
            stream = file.add_stream(codec, rate=rate)
            stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
            stream.codec_context.gop_size = gop
            stream.codec_context.time_base = Fraction(1, rate)
            for number, pixels in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
                frame.pts = number if times is None else times[number]
                frame.time_base = Fraction(1, rate)
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    return path


def silence() -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
    frame.sample_rate = 8000
    return frame


def rotated(path: Path, out: Path, turn: tuple[int, int, int, int]) -> Path:
    """The file with `turn` in its display matrix: (0, 1, -1, 0) for a quarter clockwise."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 4 + 20 + 8 + 8  # version, times and number, reserved, layer and so on
    one = 1 << 16
    a, b, c, d = (value * one for value in turn)
    matrix = [a, b, 0, c, d, 0, 0, 0, 1 << 30]
    content[place:place + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    out.write_bytes(content)
    return out
