"""Which measure of quality can be trusted for which model: `facemargin quality --check` of several, as one table.

    python benchmarks/quality_measures.py FACES --faces 1500 --output checks sface=sface "FunFace demo=runs/demo" …

Each model is NAME=PATH, or NAME=PATH:MEASURE for a measure other than its own. Every result is written to the output
folder as JSON when it is there, and is taken from it when the benchmark is run again, so that models can be added.
"""

import argparse
import json
import time
from pathlib import Path

from measure import machine

import facemargin as fm
from facemargin.data.source import LabeledImages, labeled_subset
from facemargin.evaluation import QualityCheck, check_measures, check_quality, choose_faces
from facemargin.evaluation.checked_quality import check_from_json
from facemargin.files.atomic import write_text_atomically


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces")
    parser.add_argument("models", nargs="+", metavar="NAME=PATH[:MEASURE]")
    parser.add_argument("--faces", type=int, default=1500, dest="number")
    parser.add_argument("--stepped", type=int, default=100)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    every = fm.open_images(args.faces)
    faces = labeled_subset(every, choose_faces(every, args.number))
    checks = {}
    for given in args.models:
        name, _, model = given.partition("=")
        file = args.output / f"{name.replace(' ', '_').replace('/', '_')}.json"
        if not file.exists():
            started = time.monotonic()
            check = checked(model, faces, args.stepped)
            write_text_atomically(file, check.to_json())
            print(f"{name}: {time.monotonic() - started:.0f} s, {check.words}", flush=True)
        checks[name] = check_from_json(json.loads(file.read_text(encoding="utf-8")))
    print(f"\n{machine()}; {len(faces):,} of {len(every):,} faces, of {faces.num_identities:,} people\n")
    print(table(checks))


def checked(given: str, faces: LabeledImages, stepped: int) -> QualityCheck:
    path, _, measure = given.partition(":")
    model = fm.load(path)
    if not measure:
        return check_quality(model.embed, faces, model.info.quality, stepped=stepped)
    if measure != "norm":
        raise SystemExit(f"{given}: unknown measure {measure}")
    measures = {measure: lambda images: model.embed(images).norms}
    return check_measures(model.embed, faces, measures, stepped=stepped)[measure]


def table(checks: dict[str, QualityCheck]) -> str:
    """In markdown: a row for each measure."""
    first = next(iter(checks.values()))
    headings = ["measure", *(kind.kind for kind in first.kinds), *(item.kind for item in first.not_faces)]
    headings += ["FNMR degraded", "errors, degraded", "FNMR clean", "errors, clean", "verdict"]
    rows = [headings, ["---"] * len(headings)]
    for name, check in checks.items():
        row = [name, *(f"{kind.correlation:+.2f}" for kind in check.kinds)]
        row += [f"{item.above} of {item.count}" for item in check.not_faces]
        for result in check.discards:
            row += [f"{result.missed / result.genuine:.3f}"]
            row += [
                "–"
                if result.interval is None
                else "{:+.0%} ({:+.0%} to {:+.0%})".format(result.difference, *result.interval)
            ]
        rows.append([*row, check.words])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
