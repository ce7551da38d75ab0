"""Which measure of quality can be trusted for which model: `facemargin quality --check` of several, as one table.

    python benchmarks/quality_measures.py FACES --faces 1500 --output checks sface=sface:norm demo=runs/demo:norm,serfiq

Each model is NAME=PATH:MEASURES. Every result is written to the output folder as JSON, and is taken from there when the
benchmark runs again, so that models and measures can be added.
"""

import argparse
import json
import time
from pathlib import Path

from measure import machine

import facemargin as fm
from facemargin.data.source import ImageSource, LabeledImages, labeled_subset
from facemargin.evaluation import Embeddings, QualityCheck, check_measures, choose_faces
from facemargin.evaluation.checked_quality import check_from_json
from facemargin.evaluation.quality_check import MeasureQuality
from facemargin.files.atomic import write_text_atomically


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="FACES")
    parser.add_argument("models", nargs="+", metavar="NAME=PATH:MEASURE,…")
    parser.add_argument("--faces", type=int, default=1500)
    parser.add_argument("--stepped", type=int, default=100)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    every = fm.open_images(args.data)
    faces = labeled_subset(every, choose_faces(every, args.faces))
    checks: dict[str, QualityCheck] = {}
    for given in args.models:
        name, _, model = given.partition("=")
        path, _, measures = model.rpartition(":")
        checks |= checked(name, path, measures.split(","), faces, args.stepped, args.output)
    print(f"\n{machine()}; {len(faces):,} of {len(every):,} faces, of {faces.num_identities:,} people\n")
    print(table(checks))


def checked(
    name: str, path: str, measures: list[str], faces: LabeledImages, stepped: int, output: Path
) -> dict[str, QualityCheck]:
    """The checks of the measures of one model, those that were not made before, on the same embeddings."""
    files = {measure: output / f"{name}-{measure}.json".replace(" ", "_").replace(":", "_") for measure in measures}
    missing = [measure for measure, file in files.items() if not file.exists()]
    if missing:
        model = fm.load(path)
        embeddings: dict[int, Embeddings] = {}

        def embed(images: ImageSource) -> Embeddings:
            if len(images) not in embeddings:
                embeddings[len(images)] = model.embed(images)
            return embeddings[len(images)]

        own: dict[str, MeasureQuality] = {"norm": lambda images: embed(images).norms}
        own[model.info.quality] = lambda images: embed(images).quality
        for measure in missing:
            started = time.monotonic()
            function = own.get(measure) or (lambda images, m=measure: fm.measure_quality(model, images, m))
            check = check_measures(embed, faces, {measure: function}, stepped=stepped)[measure]
            write_text_atomically(files[measure], check.to_json())
            print(f"{name}, {measure}: {time.monotonic() - started:.0f} s, {check.words}", flush=True)
    return {
        f"{name}, {measure}": check_from_json(json.loads(file.read_text(encoding="utf-8")))
        for measure, file in files.items()
    }


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
