"""Every reader of models, checkpoints and recipes, with a real file by the tool that usually writes it."""

import argparse
import contextlib
import functools
import json
from collections import OrderedDict
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import torch
import yaml
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from safetensors.torch import save_file

import facemargin as fm
from facemargin.decision import Certificate, CertifiedFaces, CertifiedGallery
from facemargin.decision.calibration import Calibration, Threshold
from facemargin.decision.checked_model import CheckedModel
from facemargin.decision.fingerprint import fingerprint, is_same_model
from facemargin.decision.guarantee import guarantee
from facemargin.evaluation.quality_check_table import check_tables
from facemargin.export.exported_model import ExportedModel
from facemargin.heads import create_head
from facemargin.interop import load_head
from facemargin.interop.model_yaml import declared_order
from facemargin.interop.reading import read_checkpoint_file
from facemargin.interop.recognize import tensors_in
from facemargin.models.info import save_model
from facemargin.report.certificate_page import write_certificate_page
from facemargin.training.checkpoint import checkpoint_steps, latest_checkpoint
from facemargin.training.recipe import load_recipe
from tests.fuzz.fuzzing import Reader
from tests.interop.foreign_files import adaface_checkpoint, state
from tests.interop.mobilenet_graph import build as mobilenet_graph
from tests.models.tiny_models import model_info, tiny_model, tiny_recognizer
from tests.report.report_runs import quality_check

IMAGES = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
TENSORS = {
    "first": torch.arange(6.0).reshape(2, 3),
    "half": torch.arange(4).half(),
    "turned": torch.arange(12.0).reshape(3, 4).t(),
    "whole": torch.arange(5),
    "empty": torch.empty(0, 3),
}


def read_tensors(path: Path) -> None:
    """All values of all tensors in a checkpoint, at whatever depth."""
    content = read_checkpoint_file(path)
    for mapping in (content, *content.values()):
        for stored in tensors_in(mapping).values():
            values = stored.read()
            assert tuple(values.shape) == stored.shape and values.dtype == stored.dtype
            values.numpy() if values.dtype != torch.bfloat16 else values.float()


def reads(name: str, read=read_tensors):
    return lambda folder: read(folder / name)


def write_torch(content, name: str = "x.pth", legacy: bool = False):
    return lambda folder: torch.save(content(), folder / name, _use_new_zipfile_serialization=not legacy)


def lightning() -> dict:
    return adaface_checkpoint({f"model.{key}": value for key, value in TENSORS.items()})


def training_state() -> dict:
    """As projects save themselves, with an optimizer, and numpy's values."""
    optimizer = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": np.float64(0.1), "params": [0]}]}
    return {"epoch": 3, "arch": "iresnet50", "state_dict": OrderedDict(TENSORS), "optimizer": optimizer,
            "args": argparse.Namespace(arch="x"), "best": np.float32(0.5), "array": np.arange(3)}  # fmt: skip


def write_safetensors(folder: Path) -> None:
    save_file({key: value.contiguous() for key, value in TENSORS.items()}, folder / "x.safetensors", {"format": "pt"})


def write_own(folder: Path) -> None:
    save_model(folder / "model.safetensors", tiny_recognizer().state_dict(), model_info(quality="norm", recipe="a: 1"))


def embed(path: Path) -> None:
    model = fm.load(path)
    with np.errstate(all="ignore"):  # damaged weights give damaged features
        assert model.embed(IMAGES, views="one").vectors.shape[0] == 1


def write_foreign(folder: Path) -> None:
    torch.save(state("mobilefacenet"), folder / "mbf.pt")


def write_cvlface(folder: Path) -> None:
    (folder / "pretrained_model").mkdir()
    config = {"color_space": "BGR", "name": "ir", "input_size": [3, 112, 112], "nested": {"a": [1, 2.5, None, True]}}
    (folder / "pretrained_model" / "model.yaml").write_text(yaml.safe_dump(config))


def write_onnx(folder: Path) -> None:
    weight = np.random.default_rng(0).normal(size=(3 * 16 * 16, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Sub", ["data", "m"], ["a"], name="_minusscalar0"),
        helper.make_node("Mul", ["a", "s"], ["b"], name="_mulscalar0"),
        helper.make_node("Flatten", ["b"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["features"]),
    ]
    graph = helper.make_graph(
        nodes,
        "recogniser",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["batch", 3, 16, 16])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 4])],
        [
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(np.float32(127.5), "m"),
            numpy_helper.from_array(np.float32(1 / 127.5), "s"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(folder / "w600k.onnx"))


def write_external_onnx(folder: Path) -> None:
    write_onnx(folder)
    options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    onnx.save(onnx.load(str(folder / "w600k.onnx")), str(folder / "x.onnx"), **options)
    (folder / "w600k.onnx").unlink()


def write_mobilenet(folder: Path) -> None:
    onnx.save(mobilenet_graph(quantised=True, false_inputs=True), str(folder / "sface.onnx"))


@functools.cache
def _head():
    return create_head("adaface", 5, 8)


def write_head_file(folder: Path) -> None:
    save_model(folder / "head.safetensors", _head().state_dict(), model_info())


def read_head(path: Path) -> None:
    load_head(path, _head())


def write_checkpoints(folder: Path) -> None:
    for step in (9, 10):
        rows = {"weight": torch.ones(5, 8), "momentum": torch.zeros(5, 8)}
        content = {
            "step": step,
            "num_classes": 5,
            "rows": rows,
            "model": TENSORS,
            "epoch": 1,
            "generator": "x",
            "list": [1],
        }
        torch.save(content, folder / f"step_{step:08d}.pt")


def write_shared_checkpoint(folder: Path) -> None:
    names = []
    for first, last in ((0, 3), (3, 5)):
        names.append(f"step_00000010.rows_{first:08d}.pt")
        rows = {"weight": torch.ones(last - first, 8)}
        torch.save({"step": 10, "classes": [first, last], "rows": rows}, folder / names[-1])
    torch.save({"step": 10, "num_classes": 5, "model": TENSORS, "row_files": names}, folder / "step_00000010.pt")


def read_checkpoints(folder: Path) -> None:
    if checkpoint_steps(folder):
        latest_checkpoint(folder, class_range_of=lambda number: (0, 2))
        latest_checkpoint(folder)


def write_recipe(folder: Path) -> None:
    recipe = {
        "description": "a recipe",
        "head": {"name": "funface", "scale": 16.0, "margin": 0.4},
        "backbone": {"name": "small_resnet", "input_size": 16, "width": 4, "embedding_size": 16},
        "data": {"train": "orl:1-4", "workers": 0, "synthetic_identities": ["mirrored"]},
        "optimizer": {"name": "adamw", "learning_rate": 0.01},
        "schedule": {"name": "cosine"},
        "validation": {"data": ["lfw.bin", "orl:25-30"]},
        "epochs": 6,
    }
    (folder / "mine.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))


def write_calibration(folder: Path) -> None:
    points = tuple(Threshold(fmr, 0.3, fmr, 20, 0.1, 3.0, 0.02, (0.001, 0.1), 0.3) for fmr in (0.1, 0.01))
    found_by = "toy", {"min_score": 0.5, "longest_side": 1280}
    calibration = Calibration("lfw", 2000, 1000, "norm", "flip", "percentile 1", _fingerprint(), points, *found_by)
    calibration.save(folder / "c.json")


def write_certificate(folder: Path) -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(60), 2)
    vectors = generator.normal(size=(60, 8))[labels] + 0.2 * generator.normal(size=(120, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    quality = np.linspace(1, 9, 120, dtype=np.float32)
    thresholds = fm.evaluation.certify_embeddings(
        fm.evaluation.Embeddings(vectors, quality, quality), labels, 0.25, fnmr=0.4, bands=[3.0]
    )
    faces = CertifiedFaces("faces", 60, 120, "0a1b", "toy", {"min_score": 0.5, "longest_side": 1280})
    Certificate(thresholds, faces, "norm", "flip", _fingerprint(), "2026-11-27", "0.1.0").save(folder / "c.json")


def write_gallery_certificate(folder: Path) -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(60, 8)).astype(np.float32)
    embeddings = fm.evaluation.Embeddings(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), *np.ones((2, 60)))
    thresholds = fm.evaluation.certify_gallery(embeddings, range(60), embeddings, range(50, 110), 0.25, fnmr=0.4)
    faces, gallery = CertifiedFaces("faces", 60, 60, "0a1b"), CertifiedGallery("staff", 60, 60, "2c3d", 10)
    certificate = Certificate(thresholds, faces, "norm", "flip", _fingerprint(), "2026-11-27", "0.1.0", gallery)
    certificate.save(folder / "c.json")


def write_quality_check(folder: Path) -> None:
    CheckedModel(_fingerprint(), "flip", {"norm": quality_check()}).save(folder / "q.json")


@functools.cache
def _fingerprint() -> list[float]:
    return fingerprint(tiny_model())


class SomeDetector:
    name = "toy"
    settings: ClassVar = {"min_score": 0.5}

    def detect(self, image: object) -> list[fm.Face]:
        return []


def read_quality_check(path: Path) -> None:
    checked = CheckedModel.load(path)
    is_same_model(_fingerprint(), checked.fingerprint)
    for check in checked.checks.values():
        Console(quiet=True).print(*check_tables(check))
        assert check.in_short and check.words and check.to_json()


def read_calibration(path: Path) -> None:
    calibration = Calibration.load(path)
    for fmr in (0.5, 0.01):
        try:
            point = calibration.at(fmr)
            calibration.doubt(fmr)
            assert all(isinstance(calibration.doubt_detector(detector), str) for detector in (None, SomeDetector()))
        except fm.errors.ConfigError:
            continue
        assert point.threshold <= 0.5 or point.threshold > 0


def read_certificate(path: Path) -> None:
    certificate = Certificate.load(path)
    assert certificate.to_json() and repr(certificate) and isinstance(certificate.promises, bool)
    for quality in (1.0, 5.0, 20.0):
        for score in (-1.0, 0.4, 1.0):
            assert guarantee(certificate.thresholds, certificate.thresholds.decide(score, quality), quality)
    for check in (
        lambda: certificate.require_faces(SomeDetector()),
        certificate.require_promise,
        certificate.require_any_people,
    ):
        with contextlib.suppress(fm.errors.ConfigError):
            check()
    write_certificate_page(certificate, "model", path.with_suffix(".html"))


def write_exported(folder: Path) -> None:
    """What `facemargin export` writes around a network, around a very small one."""
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["features"]),
        helper.make_node("LpNormalization", ["features"], ["embedding"]),
        helper.make_node("ReduceL2", ["features"], ["norm"], axes=[1], keepdims=0),
        helper.make_node("Identity", ["norm"], ["quality"]),
    ]
    weight = np.random.default_rng(0).normal(size=(3 * 16 * 16, 8)).astype(np.float32)
    sizes = {"embedding": ["batch", 8], "norm": ["batch"], "quality": ["batch"]}
    graph = helper.make_graph(
        nodes,
        "exported",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 16, 16])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in sizes.items()],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"format": "facemargin", "model": json.dumps(asdict(model_info()))})
    onnx.save(model, str(folder / "m.onnx"))


def read_exported(path: Path) -> None:
    model = ExportedModel(path)
    with np.errstate(all="ignore"):
        model.embed(IMAGES)


READERS = [
    Reader("torch.save", write_torch(lambda: dict(TENSORS)), reads("x.pth")),
    Reader("torch.save, legacy", write_torch(lambda: dict(TENSORS), legacy=True), reads("x.pth")),
    Reader("Lightning checkpoint", write_torch(lightning), reads("x.pth")),
    Reader("Lightning checkpoint, legacy", write_torch(lightning, legacy=True), reads("x.pth")),
    Reader("training state", write_torch(training_state), reads("x.pth")),
    Reader("safetensors", write_safetensors, reads("x.safetensors")),
    Reader("own model file", write_own, reads("model.safetensors", embed)),
    Reader("MobileFaceNet of InsightFace", write_foreign, reads("mbf.pt", embed), slow=5),
    Reader("model.yaml", write_cvlface, reads("model.safetensors", declared_order), ("*.yaml",)),
    Reader("ONNX", write_onnx, reads("w600k.onnx", embed)),
    Reader("ONNX, weights beside it", write_external_onnx, reads("x.onnx", embed), ("*.onnx",)),
    Reader("ONNX of SFace's network", write_mobilenet, reads("sface.onnx", embed), slow=5),
    Reader("head file", write_head_file, reads("head.safetensors", read_head)),
    Reader("released head", write_torch(lightning), reads("x.pth", read_head)),
    Reader("checkpoints", write_checkpoints, read_checkpoints),
    Reader("checkpoint of several processes", write_shared_checkpoint, read_checkpoints),
    Reader("recipe", write_recipe, reads("mine.yaml", lambda path: load_recipe(str(path)))),
    Reader("calibration", write_calibration, reads("c.json", read_calibration)),
    Reader("certificate", write_certificate, reads("c.json", read_certificate), slow=10),
    Reader("gallery certificate", write_gallery_certificate, reads("c.json", read_certificate), slow=10),
    Reader("quality check", write_quality_check, reads("q.json", read_quality_check)),
    Reader("exported model", write_exported, reads("m.onnx", read_exported)),
]
