"""Makes features of video files: frames, decoded and described, labels from the names of folders.

    python extract.py --videos clips/ --out data/mine/feats.h5
    python extract.py --videos clips/ --out data/mine/feats.h5 --model hog --frames 25
    python extract.py --videos long.mp4 --out data/mine/long.h5 --window 10 --stride 5
    python extract.py --videos film.mp4 --out data/mine/film.h5 --shots
    python extract.py --videos clips/ --out data/mine/feats_3.h5 --shard 3/8

--model: efficientnet-lite0 (1,280 features, weights in a package), hog (768, no weights), or an image model of
transformers: a folder, or a name in the cache. Where every video lies in a sub-folder of --videos, these are the
classes. Stopped, also by kill -9, it goes on behind the videos that are done. A video that cannot be read costs a line
of report.csv beside the features, and the exit status is then 100 and the number of such videos, 125 at most.
--shard 3/8 takes the third of eight shares; the files of all, named one behind the other, are that of all at once.
--ray has the machines of a Ray cluster read and describe the videos.
"""

if __name__ == "__main__":  # the imports take a moment
    from utils.signals import end_in_one_line

    end_in_one_line()

import argparse
import csv
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from dataset.extraction.recipe import Recipe
from dataset.extraction.store import Finished, close_with_failures, labels_of, videos_in, write_features
from utils.cli import choose_device, close_with, run_script, share, vh_command
from utils.errors import UserError
from utils.files.lock import lock_beside
from utils.files.writing import write_text
from utils.over_ray import add_ray_argument


def main() -> None:
    arguments = _arguments()
    out = Path(arguments.out)
    if out.suffix not in (".h5", ".hdf5"):
        raise UserError(f"--out {out}: features are HDF5. Name a file that ends in .h5.")
    if out.exists() and not arguments.replace:
        raise UserError(f"{out}: exists already. Overwrite it with --replace, or name another with --out.")
    everyone = videos_in(arguments.videos)
    videos = _share_of(everyone, *arguments.shard)
    from dataset.extraction import pipeline  # torch takes a moment

    backbone = pipeline.open_backbone(arguments.model, choose_device(arguments.gpu))
    recipe = pipeline.recipe_of(backbone, arguments.frames, arguments.window, arguments.stride, arguments.shots)
    with lock_beside(out, "Wait for it, or name another --out."):
        finished = Finished(out.with_name(f".{out.name}.parts"), recipe)
        todo = [name for name, path in videos.items() if not finished.has(name, path)]
        notes: dict[str, tuple[str, str]] = {}
        with tqdm(total=len(videos), initial=len(videos) - len(todo), unit="videos", desc=out.name,
                  disable=None) as bar:
            paths = [videos[name] for name in todo]
            described = pipeline.describe_over_ray(
                arguments.ray, paths, recipe, arguments.gpu, arguments.workers,
            ) if arguments.ray else pipeline.describe(paths, recipe, backbone, arguments.workers)
            for video in described:
                name = todo[video.video]
                if video.failed or video.note:
                    notes[name] = "failed" if video.failed else "note", video.note
                    bar.write(f"{name}: {video.note}", file=sys.stderr)
                if not video.failed:
                    finished.add(name, videos[name], video.windows)
                bar.update()
        among = list(everyone) if len(videos) < len(everyone) else []
        _close(out, finished, videos, notes, recipe, among)


def _share_of(videos: Mapping[str, Path], number: int, count: int) -> Mapping[str, Path]:
    """The share `number` of `count`: consecutive, as even as can be."""
    if count > len(videos):
        raise UserError(f"--shard {number}/{count}: there are {len(videos)} videos. Name no more shares than that.")
    names = list(videos)[len(videos) * (number - 1) // count:len(videos) * number // count]
    return {name: videos[name] for name in names}


def _close(out: Path, finished: Finished, videos: Mapping[str, Path], notes: Mapping[str, tuple[str, str]],
           recipe: Recipe, among: Sequence[str]) -> None:
    """Writes what comes out in the end; the exit status says how many videos failed. `among`: those of all shares."""
    report = out.with_name(f"{out.stem}.report.csv" if among else "report.csv")
    failed = [name for name, (kind, _) in notes.items() if kind == "failed"]
    if notes:
        write_text(report, _csv(notes))
    if len(failed) == len(videos):
        finished.close(remove=True)
        raise UserError(f"{out}: not written, none of {len(videos)} videos could be read; {report} says why. Name "
                        "others with --videos.")
    done = [name for name in videos if name not in failed]
    count = write_features(out, finished, done, recipe, among)
    finished.close(remove=True)
    labels = ["--labels", str(out)] if labels_of(done, among) else []
    close_with([f"{out}, {count} items, {recipe.told}", *([f"{report}, {len(notes)} lines"] if notes else [])],
               vh_command("init", str(out), *labels, "--out", "mine.py"))
    close_with_failures(len(failed), len(videos))


def _csv(notes: Mapping[str, tuple[str, str]]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("video", "kind", "what"))
    writer.writerows((name, *note) for name, note in sorted(notes.items()))
    return table.getvalue()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     allow_abbrev=False)
    parser.add_argument("--videos", nargs="+", required=True, metavar="PATH", help="folders, or files")
    parser.add_argument("--out", required=True, metavar="FILE.h5", help="the file of features")
    parser.add_argument("--model", default="efficientnet-lite0", metavar="NAME",
                        help="what describes a frame, see above (default: %(default)s)")
    parser.add_argument("--frames", type=_positive(int), default=25, metavar="T", help="of an item (default: 25)")
    parser.add_argument("--window", type=_positive(float), metavar="SECONDS",
                        help="cut longer videos into items of this length (default: a video is an item)")
    parser.add_argument("--stride", type=_positive(float), metavar="SECONDS",
                        help="from one window to the next (default: its length)")
    parser.add_argument("--shots", action="store_true",
                        help="an item of every shot, or of every window of each; cuts are told by colours")
    parser.add_argument("--workers", type=_positive(int), metavar="N", help="videos at once (default: one per CPU)")
    add_ray_argument(parser)
    parser.add_argument("--shard", type=share, default=(1, 1), metavar="I/N",
                        help="the I-th of N shares of the videos only")
    parser.add_argument("--gpu", metavar="N", help="a GPU's number, or cpu (default: the first GPU, else the CPU)")
    parser.add_argument("--replace", action="store_true", help="overwrite what is at --out")
    return parser.parse_args()


def _positive(kind):
    def number(text: str):
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not 0 < value < 1 << 16:
            raise argparse.ArgumentTypeError(f"expected a number above 0, not '{text}'")
        return value
    return number


if __name__ == "__main__":
    run_script(main)
