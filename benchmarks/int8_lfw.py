"""What bf16 and int8 cost in accuracy and gain in speed: one model on one verification set.

    python benchmarks/int8_lfw.py MODEL SET CALIBRATION

MODEL is a run folder or model file, SET a verification set (path/to/lfw), CALIBRATION faces that int8's ranges are
chosen by (path/to/faces), of other people.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from measure import interleaved, machine, ratio

import facemargin as fm
from facemargin.data.open import open_images, open_verification
from facemargin.data.source import ArrayImages
from facemargin.evaluation import Embed, evaluate_verification, summarize
from facemargin.export.exported_model import ExportedModel

SPEED_IMAGES = 256


def main() -> None:
    if len(sys.argv) != 4:
        print("benchmarks/int8_lfw.py needs a trained model and faces: MODEL SET CALIBRATION")
        return
    model_path, set_name, calibration = sys.argv[1:]
    verification_set = open_verification(set_name)
    print(f"{machine()}; {torch.get_num_threads()} threads; {verification_set.name}, {len(verification_set)} pairs")
    model = fm.load(model_path)
    with tempfile.TemporaryDirectory() as folder:
        embeds: dict[str, Embed] = {
            "torch float32": model.embed,
            "torch bf16": fm.load(model_path, precision="bf16").embed,
            "onnxruntime float32": exported(model, Path(folder) / "float32.onnx"),
            "onnxruntime int8": exported(model, Path(folder) / "int8.onnx", int8_calibration=open_images(calibration)),
        }
    count = min(SPEED_IMAGES, len(verification_set.images))
    images = ArrayImages([verification_set.images.read(index) for index in range(count)])
    seconds = interleaved({name: speed_of(embed, images) for name, embed in embeds.items()})
    print(f"{'':22}{'accuracy':>10}{'EER':>8}{'TAR @ FAR 10 / 1 / 0.1 %':>28}{'images/s':>10}{'times as fast':>15}")
    for name, embed in embeds.items():
        summary = summarize(evaluate_verification(embed, verification_set, name), bootstrap=None)
        accuracy = summary.balanced_accuracy.value if summary.accuracy is None else summary.accuracy.mean
        tars = " / ".join(
            f"{point.tar:.3f}" for point in sorted(summary.tar_at_far.points, key=lambda one: -one.target_far)
        )
        speed = count / sorted(seconds[name])[len(seconds[name]) // 2]
        faster = ratio(seconds["torch float32"], seconds[name])[0]
        print(f"{name:22}{accuracy:10.4f}{summary.roc.eer:8.4f}{tars:>28}{speed:10.0f}{faster:15.2f}", flush=True)


def exported(model: fm.Model, path: Path, **options: object) -> Embed:
    parity = fm.export_onnx(model, path, preprocess=True, **options)
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, smallest cosine {parity.cosine:.6f}")
    return ExportedModel(path.read_bytes()).embed


def speed_of(embed: Embed, images: ArrayImages) -> Callable[[], object]:
    return lambda: embed(images)


if __name__ == "__main__":
    main()
