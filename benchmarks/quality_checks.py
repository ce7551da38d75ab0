"""Which measure of quality can be trusted for which model: `facemargin quality --check` of several, as one table.

    python benchmarks/quality_checks.py FACES --faces 1500 --output checks \\
        --model sface sface norm serfiq:dropout=0.5 --model demo runs/demo norm

Each --model is NAME PATH MEASURE …. Every result is written to the output folder as JSON, and is taken from there when
the benchmark runs again on as many faces, so that models and measures can be added. What a measure costs is in
quality_cost.py.
"""

import argparse
import json
import time
from pathlib import Path

from measure import machine

import facemargin as fm
from facemargin.data.source import ImageSource, LabeledImages, labeled_subset
from facemargin.evaluation import QualityCheck, check_measures, choose_faces
from facemargin.evaluation.checked_quality import check_from_json
from facemargin.evaluation.embeddings import Embed, embed_once
from facemargin.evaluation.quality_check import MeasureQuality
from facemargin.features.measures import make_measure
from facemargin.files.atomic import write_text_atomically
from facemargin.models.model import Model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="FACES")
    parser.add_argument("--model", nargs="+", action="append", required=True, metavar=("NAME", "PATH MEASURE"))
    parser.add_argument("--faces", type=int, default=1500)
    parser.add_argument("--stepped", type=int, default=100)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    every = fm.open_images(args.data)
    faces = labeled_subset(every, choose_faces(every, args.faces))
    checks: dict[str, QualityCheck] = {}
    for given in args.model:
        if len(given) < 3:
            parser.error(f"--model {' '.join(given)}: expected a name, a path and at least one measure")
        name, path, *measures = given
        checks |= checked(name, path, measures, faces, args.stepped, args.output)
    print(f"\n{machine()}; {len(faces):,} of {len(every):,} faces, of {faces.num_identities:,} people\n")
    print(table(checks))


def checked(
    name: str, path: str, measures: list[str], faces: LabeledImages, stepped: int, output: Path
) -> dict[str, QualityCheck]:
    """The checks of the measures of one model, made of those that were not made before of as many faces."""
    files = {measure: output / f"{name}-{measure}.json".replace(" ", "_").replace(":", "_") for measure in measures}
    checks = {measure: check for measure, file in files.items() if (check := stored(file, faces, stepped)) is not None}
    missing = [measure for measure in measures if measure not in checks]
    if missing:
        model = fm.load(path)
        embed = embed_once(model.embed)
        made = check_measures(embed, faces, {one: timed(one, model, embed) for one in missing}, stepped=stepped)
        for measure, check in made.items():
            write_text_atomically(files[measure], check.to_json())
            print(f"{name}, {measure}: {check.words}", flush=True)
        checks |= made
    return {f"{name}, {measure}": checks[measure] for measure in measures}


def stored(file: Path, faces: LabeledImages, stepped: int) -> QualityCheck | None:
    """The check in a file; None if there is none of these numbers of faces."""
    if not file.exists():
        return None
    check = check_from_json(json.loads(file.read_text(encoding="utf-8")))
    same = (check.faces, check.images, check.stepped) == (faces.name, len(faces), min(stepped, len(faces)))
    return check if same else None


def timed(name: str, model: Model, embed: Embed) -> MeasureQuality:
    measure = make_measure(name, model)

    def qualities(pictures: ImageSource):
        started = time.monotonic()
        quality_P = measure(pictures, embed)
        print(f"{name}: {time.monotonic() - started:.0f} s for {len(pictures):,} pictures", flush=True)
        return quality_P

    return qualities


def table(checks: dict[str, QualityCheck]) -> str:
    """In markdown: a row for each measure."""
    first = next(iter(checks.values()))
    headings = ["measure", *(kind.kind for kind in first.kinds), *(item.kind for item in first.not_faces)]
    headings += ["FNMR, degraded", "errors, degraded", "FNMR, clean", "errors, clean", "verdict"]
    rows = [headings, ["---"] * len(headings)]
    for name, check in checks.items():
        row = [name, *(f"{kind.correlation:+.2f}" for kind in check.kinds)]
        row += [f"{item.above} of {item.count}" for item in check.not_faces]
        for result in check.discards:
            figures = () if result.interval is None else (result.difference, *result.interval)
            row += [f"{result.missed / result.genuine:.3f}"]
            row += ["{:+.0%} ({:+.0%} to {:+.0%})".format(*figures) if figures else "–"]
        rows.append([*row, check.words])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
