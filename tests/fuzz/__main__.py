"""The command line of `tests.fuzz`."""

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tqdm import tqdm

import tests.fuzz
from tests.fuzz.kinds import KINDS
from tests.fuzz.workers import FINE, run_cases


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=tests.fuzz.__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--only", type=int, metavar="CASE", help="this case alone")
    parser.add_argument("--keep", metavar="FOLDER", help="where the files of findings are kept")
    args = parser.parse_args()
    numbers = range(args.cases) if args.only is None else [args.only]
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory(prefix="fuzz_") as scratch:
        folder = Path(scratch, "all")
        for outcome in tqdm(run_cases(numbers, args.seed, args.kinds, folder), total=len(numbers), disable=None):
            counts[outcome.kind, outcome.verdict] += 1
            if outcome.is_finding:
                tqdm.write(f"case {outcome.number}, {outcome.kind}: {outcome.verdict} {outcome.detail}")
                if args.keep:
                    shutil.copytree(folder / f"case{outcome.number}", Path(args.keep, f"{args.seed}_{outcome.number}"),
                                    dirs_exist_ok=True)
    for (kind, verdict), count in sorted(counts.items()):
        print(f"{kind:<12} {verdict:<24} {count:>6}")
    sys.exit(any(verdict not in FINE for _, verdict in counts))


if __name__ == "__main__":
    main()
