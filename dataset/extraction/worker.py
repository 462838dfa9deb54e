"""A child process that decodes: a request on each line of standard input, its answer on standard output.

    {"path": ..., "num_frames": T, "size": S, "crop": false, "window": null, "stride": null,
     "shots": false, "part": null, "hog": false}

The answer is, for each window, a line {"window": [start, end], "shape": [...], "dtype": ...} and the bytes of the
array, and at last a line {"note": ...} or {"error": ...}. The first argument is the most memory of the process, in
bytes.
"""

import json
import os
import sys

import av.logging

from dataset.extraction.clips import ClipError, Shape, read_clip
from dataset.extraction.histograms import describe


def limit(memory: int) -> None:
    """Keeps the process from taking more memory than that, and from writing files; not where the system cannot."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for what, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(what, (most, most))


def answer(request: dict, out) -> None:
    last = {"note": ""}
    try:
        windows = read_clip(request["path"], request["num_frames"], Shape(request["size"], request["crop"]),
                            request["window"], request["stride"], request["part"], request["shots"])
        for window, frames, note in windows:
            array = describe(frames) if request["hog"] else frames
            out.write(json.dumps({"window": window, "shape": array.shape, "dtype": array.dtype.str}).encode() + b"\n")
            out.write(array.data.cast("B"))
            out.flush()  # what reads it works meanwhile
            last = {"note": note}
    except ClipError as error:
        last = {"error": str(error)}
    out.write(json.dumps(last).encode() + b"\n")
    out.flush()


def main() -> None:
    limit(int(sys.argv[1]))
    av.logging.set_level(None)
    out = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    os.dup2(2, 1)  # whatever a library prints
    for line in sys.stdin.buffer:
        answer(json.loads(line), out)


if __name__ == "__main__":
    main()
