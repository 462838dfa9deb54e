"""Writes what is published into the headers of configs that have not run here, from tables/published*.csv.

    python -m tables.grid.headers

A header with the line `# Not run here.` gets it anew, with the table that may follow it; others are left alone.
"""

import argparse
import re
from pathlib import Path

import tables
from tables.grid.published import Result, published_results
from utils.cli import run_script
from utils.files.writing import write_text
from utils.registry import TABLES

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
_PART = re.compile(r"^# Not run here\..*\n(?:#  .*\n)*", re.MULTILINE)


def with_published(text: str, model: str, dataset: str) -> str:
    """The `text` of configs/<model>/<dataset>.py with the published numbers of today."""
    return _PART.sub(published_part(model, dataset).replace("\\", r"\\"), text, count=1)


def published_part(model: str, dataset: str) -> str:
    """What a header says of a config's published mAP@k: of the first source that has any."""
    published = _published_as().get(model)
    known = [result for result in published_results()
             if (result.method, result.backbone) == published and result.dataset == dataset]
    results = [result for result in known if _paper(result) == _paper(known[0])]
    if not results:
        return "# Not run here. tables/published.csv has nothing of it.\n"
    more = ", which differs from other sources (tables/published.csv)" if len(known) > len(results) else ""
    return f"# Not run here. Published mAP@k, {_paper(results[0])}{more}:\n" + _table(results)


def _paper(result: Result) -> str:
    """The source of a result, without the number of a table that is one of several for the metrics of one run."""
    return re.sub(r" Table \d+$", "", result.source)


def _table(results: list[Result]) -> str:
    values = {(result.bits, result.metric): result.value for result in results}
    metrics = list(dict.fromkeys(result.metric for result in results))
    lines = ["bits" + "".join(f"{metric.removeprefix('mAP'):>6}" for metric in metrics)]
    lines += [f"{bits:>4}" + "".join(f"{values[bits, metric]:6.3f}" for metric in metrics)
              for bits in dict.fromkeys(result.bits for result in results)]
    return "".join(f"#     {line}\n" for line in lines)


def _published_as() -> dict[str, tuple[str, str]]:
    """Model -> the (method, backbone) that its rows answer to, in every profile; the last row is the model as it is."""
    return {row.model: row.published for name in ("methods", "backbones", "vhmt-tam", "shc")
            for profile in tables.PROFILES for row in tables.in_profile(TABLES.load(name), profile).rows
            if row.published}


def main() -> None:
    argparse.ArgumentParser(prog="python -m tables.grid.headers", description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for path in sorted(CONFIGS.glob("[!_]*/*.py")):
        text = path.read_text(encoding="utf-8")
        new = with_published(text, path.parent.name, path.stem)
        if new != text:
            write_text(path, new)
            print(f"{path}: written")


if __name__ == "__main__":
    run_script(main)
