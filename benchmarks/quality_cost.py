"""What a measure of quality costs, beside embedding the same faces: milliseconds an image on one thread.

python benchmarks/quality_cost.py

Whether a measure can be trusted is in quality_checks.py.
"""

import statistics

import cv2
import torch
from measure import interleaved, machine, ratio

import facemargin as fm
from facemargin.data.source import ImageSubset
from facemargin.features.measures import make_measure
from facemargin.models.info import ModelInfo
from facemargin.models.model import Model
from facemargin.models.recognizer import Recognizer

IMAGES = 8
MEASURES = ("serfiq", "grafiqs", "image-statistics")


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(f"{machine()}; one thread, {IMAGES} images at a time, one view\n")
    print("| network | embed, ms | " + " | ".join(f"{name}, ms (ratio)" for name in MEASURES) + " |")
    print("|---" * (2 + len(MEASURES)) + "|")
    for name in ("small_resnet", "mobilenet_v1", "ir_18", "ir_50"):
        print(row(name), flush=True)


def row(name: str) -> str:
    backbone = fm.create_backbone(name, dropout=0.4).eval()
    info = ModelInfo(
        backbone=name, options={}, embedding_size=512, input_size=backbone.input_size, loss="none", views="one"
    )
    model = Model(Recognizer(backbone), info, "cpu", "float32")
    faces = ImageSubset(fm.open_images("orl"), range(IMAGES))
    measures = {measure: make_measure(measure, model) for measure in MEASURES}
    seconds = interleaved(
        {"embed": lambda: model.embed(faces)}
        | {key: (lambda measure=measure: measure(faces, model.embed)) for key, measure in measures.items()}
    )
    cells = [f"{1000 * statistics.median(seconds['embed']) / IMAGES:.1f}"]
    for measure in MEASURES:
        middle = ratio(seconds[measure], seconds["embed"])[0]
        cells.append(f"{1000 * statistics.median(seconds[measure]) / IMAGES:.1f} ({middle:.2g})")
    return f"| `{name}` | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
