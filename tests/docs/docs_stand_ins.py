"""Small stand-ins for the files that the documents name, made when a page needs them and kept for the session."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from facemargin.auditing import Audit, AuditedData, LookedFor
from facemargin.cli import main
from facemargin.data.findings import KINDS, Finding
from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.data.open import open_images
from tests.clips import clip, stand, write_video
from tests.docs.docs_pages import ROOT, blocks_of
from tests.interop.foreign_files import adaface_checkpoint, state
from tests.photographs import orl_photograph
from tests.protocol_folders import IJB

TINY = ["--backbone.name", "small_resnet", "--backbone.input-size", "16", "--backbone.width", "4"]
TINY += ["--backbone.embedding-size", "16", "--epochs", "1", "--batch-size", "8", "--data.workers", "0"]
TINY += ["--schedule.warmup-epochs", "0"]


class StandIns:
    """`copy(name, folder)` puts the stand-in of that name into a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def make(self, name: str) -> Path:
        path = self.root / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            MAKERS[name](self, path)
        return path

    def copy(self, name: str, folder: Path) -> None:
        source, target = self.make(name), folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)


def named_in(text: str) -> list[str]:
    """The stand-ins that a text names, shorter ones first, so that path/to/ms1mv3/lfw.bin finds its folder."""
    return sorted(name for name in MAKERS if re.search(rf"(?<![\w/.-]){re.escape(name)}(?![\w.-]*\w)", text))


def facemargin(*arguments: str | Path) -> None:
    assert main([str(argument) for argument in arguments]) == 0, arguments


def _faces(_: StandIns, root: Path) -> None:
    faces = EmbeddedFaces(range(1, 21))
    for person in range(1, 21):
        for number in range(1, 4):
            path = root / f"s{person}" / f"s{person}_{number:04d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), cv2.resize(faces.read(10 * (person - 1) + number - 1), (112, 112)))


def _photographs(_: StandIns, root: Path) -> None:
    for person in range(1, 4):
        for number in range(1, 5):
            path = root / f"s{person}" / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            photograph = orl_photograph(10 * (person - 1) + number - 1, shape=(192, 224))
            assert cv2.imwrite(str(path), photograph[:, :, ::-1])


def _photograph(index: int) -> Callable[[StandIns, Path], None]:
    def make(_: StandIns, path: Path) -> None:
        assert cv2.imwrite(str(path), orl_photograph(index, shape=(192, 224))[:, :, ::-1])

    return make


def _clip(_: StandIns, path: Path) -> None:
    write_video(path, clip(10, stand(3, 200)))


def _pairs(stand_ins: StandIns, path: Path) -> None:
    facemargin("make-pairs", stand_ins.make("path/to/faces"), "--output", path, "--pairs", 20)


def _pair_folder(stand_ins: StandIns, folder: Path) -> None:
    _pairs(stand_ins, folder)


def _insightface_folder(stand_ins: StandIns, folder: Path) -> None:
    facemargin("convert", stand_ins.make("path/to/faces"), folder, "--to", "recordio")
    for name in ("lfw.bin", "cfp_fp.bin", "agedb_30.bin"):
        stand_ins.copy("lfw.bin", folder / "copied")
        (folder / "copied" / "lfw.bin").rename(folder / name)
    (folder / "copied").rmdir()


def _named_sets(stand_ins: StandIns, folder: Path) -> None:
    folder.mkdir()
    for name in ("lfw.bin", "cfp_fp.bin", "agedb_30.bin"):
        shutil.copy(stand_ins.make("lfw.bin"), folder / name)


def _lfw(stand_ins: StandIns, folder: Path) -> None:
    shutil.copytree(stand_ins.make("path/to/faces"), folder / "images")
    lines = ["2\t6"]  # two folds of six genuine and six impostor pairs, of ten people each
    for first in (1, 11):
        lines += [f"s{first + n}\t1\t2" for n in range(6)]
        lines += [f"s{first + n}\t1\ts{first + n + 3}\t3" for n in range(6)]
    (folder / "pairs.txt").write_text("\n".join(lines) + "\n")


def _run(*options: str) -> Callable[[StandIns, Path], None]:
    def make(_: StandIns, folder: Path) -> None:
        facemargin("train", "small_cpu", "--data.train", "orl:1-5", "--output", folder, *TINY, *options)

    return make


def _compared(_: StandIns, folder: Path) -> None:
    """Two heads with three seeds, as they lie in the output of `facemargin compare`."""
    for head in ("funface", "adaface"):
        for seed in range(3):
            one = folder / head / f"seed_{seed}"
            options = ["--head.name", head, "--seed", str(seed), "--output", one]
            facemargin("train", "small_cpu", "--data.train", "orl:1-5", *options, *TINY)


def _joint_run(_: StandIns, folder: Path) -> None:
    small = ["--data.train", "orl:1-3", "--output", str(folder), "--reconstruction.latent-size", "8"]
    facemargin("train", "lh2face_reconstruction", *TINY, *small)


def _own_weights(stand_ins: StandIns, path: Path) -> None:
    shutil.copy(stand_ins.make("runs/mine") / "model.safetensors", path)


def _adaface(_: StandIns, path: Path) -> None:
    torch.save(adaface_checkpoint(state("ir_18", "model.")), path)


def _insightface(_: StandIns, path: Path) -> None:
    torch.save(state("iresnet18"), path)


def _ijbc(_: StandIns, folder: Path) -> None:
    IJB(folder)


def _quality_scores(stand_ins: StandIns, path: Path) -> None:
    faces = stand_ins.make("path/to/faces")
    rows = [f"{image.relative_to(faces)},{number}" for number, image in enumerate(sorted(faces.rglob("*.jpg")))]
    path.write_text("\n".join(["Filename,UnifiedQualityScore.scalar", *rows]) + "\n")


def _calibration(stand_ins: StandIns, path: Path) -> None:
    facemargin("calibrate", stand_ins.make("runs/mine"), "--pairs", stand_ins.make("lfw.bin"), "--output", path)


def _embeddings(stand_ins: StandIns, path: Path) -> None:
    facemargin("embed", stand_ins.make("runs/mine"), stand_ins.make("path/to/faces"), "--output", path)


def _onnx(*options: str) -> Callable[[StandIns, Path], None]:
    def make(stand_ins: StandIns, path: Path) -> None:
        facemargin("export", stand_ins.make("runs/mine"), "--output", path, *options)

    return make


def _list_of_pairs(_: StandIns, path: Path) -> None:
    path.write_text("path1,path2\na.jpg,b.jpg\n")


def _own_code(_: StandIns, path: Path) -> None:
    """The network that the page itself shows."""
    page = ROOT / "docs" / "own_network.md"
    (code,) = [block.code for block in blocks_of(page) if block.code.startswith("# my_network.py")]
    path.write_text(code, encoding="utf-8")


def _own_state_dict(stand_ins: StandIns, path: Path) -> None:
    shown, _, _ = stand_ins.make("my_network.py").read_text(encoding="utf-8").partition("\nnetwork = ")
    names: dict[str, Any] = {}
    exec(shown, names)
    torch.save(names["MyNetwork"]().state_dict(), path)


def _aligned_face(person: int) -> Callable[[StandIns, Path], None]:
    def make(_: StandIns, path: Path) -> None:
        face = EmbeddedFaces([person]).read(0)
        assert cv2.imwrite(str(path), np.ascontiguousarray(cv2.resize(face, (112, 112))[:, :, ::-1]))

    return make


def _audit(stand_ins: StandIns, folder: Path) -> None:
    images = open_images(stand_ins.make("path/to/faces"))
    kinds = {kind: LookedFor("as in a stand-in", 0.5, 0.9) for kind in KINDS}
    path = images.describe(0).removeprefix(f"{stand_ins.root}/")  # as it is called in a page's folder
    finding = Finding(path, "mislabelled", 0.9, images.identity_names[0], reason="nobody of the set")
    Audit([finding], kinds, AuditedData.of(images), "embeddings").save(folder)


def _groups(_: StandIns, path: Path) -> None:
    lines = [f"s{person},{'north' if person % 2 else 'south'}" for person in range(1, 41)]
    path.write_text("\n".join(["person,site", *lines]) + "\n")


MAKERS: dict[str, Callable[[StandIns, Path], None]] = {
    "audits/faces": _audit,
    "runs/compare": _compared,
    "clip.mp4": _clip,
    "path/to/faces": _faces,
    "path/to/others": _faces,
    "faces": _faces,
    "path/to/ms1mv3": _insightface_folder,
    "ms1mv3": _insightface_folder,
    "path/to/sets": _named_sets,
    "path/to/lfw": _lfw,
    "path/to/IJBC": _ijbc,
    "IJBC": _ijbc,
    "lfw.bin": _pairs,
    "cfp_fp.bin": _pairs,
    "mine.bin": _pairs,
    "pairs": _pair_folder,
    "pairs.csv": _list_of_pairs,
    "groups.csv": _groups,
    "ofiq.csv": _quality_scores,
    "photographs": _photographs,
    "photos": _photographs,
    "photograph.jpg": _photograph(0),
    "a.jpg": _photograph(0),
    "b.jpg": _photograph(1),
    "face_a.png": _aligned_face(1),
    "face_b.png": _aligned_face(2),
    "runs/mine": _run(),
    "runs/name": _run(),
    "runs/demo": _run(),
    "runs/crfiqa": _run("--quality.name", "crfiqa"),
    "runs/recorded": _run("--recorder", "True"),
    "runs/subcenters": _run("--head.sub-centers", "3"),
    "runs/joint": _joint_run,
    "mine.safetensors": _own_weights,
    "adaface.ckpt": _adaface,
    "adaface_ir101.ckpt": _adaface,
    "adaface_ir101_webface4m.ckpt": _adaface,
    "backbone.pth": _insightface,
    "calibration.json": _calibration,
    "embeddings.npz": _embeddings,
    "folder": _embeddings,
    "model.onnx": _onnx("--preprocess"),
    "my_network.py": _own_code,
    "my_weights.pt": _own_state_dict,
    "int8.onnx": _onnx("--int8", "--calibration-data", "orl:1-3"),
}
