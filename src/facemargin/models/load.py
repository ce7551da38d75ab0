"""Loads a model from facemargin's own file or run folder, from a checkpoint of another project, or from the Hub."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open

from facemargin.backbones.precision import Precision
from facemargin.errors import CheckpointError, ConfigError
from facemargin.files.safetensors import require_small_header
from facemargin.interop import hub
from facemargin.interop.blank import blank_networks
from facemargin.interop.checkpoint import Checkpoint, read_checkpoint
from facemargin.interop.family import FAMILIES
from facemargin.interop.onnx_backbone import read_onnx
from facemargin.models.info import ModelInfo, read_model
from facemargin.models.model import Model
from facemargin.models.recognizer import Recognizer, create_recognizer

_LONGEST_PROBLEM = 500

logger = logging.getLogger(__name__)


def load(
    path: str | Path,
    device: str | torch.device = "auto",
    *,
    family: str | None = None,
    trust: bool = False,
    color_order: Literal["RGB", "BGR"] | None = None,
    precision: Precision | None = None,
) -> Model:
    """The recogniser in a model file of facemargin, a run folder (its `model.safetensors`), another project's file
    (.ckpt, .pth, .pt, .safetensors, .onnx), a folder with such a file, or a repository "hf:owner/name".

    device: "auto" is a GPU where there is one, else the CPU; an ONNX model stays on the CPU. precision: of the
    convolutions when embedding; by default bf16 on a GPU that has it, float32 on the CPU, see `Model`.

    family: the project of the checkpoint ("adaface", "funface", "cvlface", "insightface", "magface", "crfiqa"), if it
    cannot be recognised from the file; it never can for an ONNX file. trust: allow a pickle to run its code, which is
    refused otherwise. color_order: the colour order that the network reads, if you know it better than the file or its
    family.

    Raises CheckpointError, which names the file, if it is missing, damaged, not recognised or does not fit its own
    description, and ConfigError for options that do not apply to it. Assumptions are logged as warnings.

    Examples:
        >>> import facemargin as fm, tempfile
        >>> from rich.console import Console
        >>> run = tempfile.mkdtemp() + "/run"
        >>> recipe = fm.load_recipe("small_cpu", epochs=1, batch_size=10, data={"train": "orl:1-3"})
        >>> fm.train(recipe, run, console=Console(quiet=True))
        True
        >>> fm.load(run)  # doctest: +ELLIPSIS
        <facemargin.Model ...>
    """
    recognizer, info, notes = read_recognizer(path, family, trust)
    for note in notes:
        logger.warning("%s: %s", path, note)
    if color_order is not None:
        info = replace(info, color_order=color_order)
    return Model(recognizer, info, device, precision)


def read_recognizer(
    path: str | Path, family: str | None = None, trust: bool = False
) -> tuple[Recognizer, ModelInfo, list[str]]:
    """As `load`, but returns the networks, their description, and the notes on assumptions and licences."""
    file = locate(path)
    if file.suffix == ".onnx":
        return _onnx_recognizer(file, family)
    if is_own_file(file):
        if family is not None:
            raise ConfigError(f"{file} is facemargin's own file, which describes its input itself: remove family")
        return *_own_recognizer(file), []
    checkpoint = read_checkpoint(file, family, trust)
    notes = list(checkpoint.notes)
    if checkpoint.family.non_commercial:
        notes.append(f"note the licence: {checkpoint.family.licence}")
    return *checkpoint_recognizer(checkpoint), notes


def locate(path: str | Path) -> Path:
    """The file that `load` reads for `path`, downloaded if necessary. Raises CheckpointError if there is none."""
    if not isinstance(path, str | Path):
        raise ConfigError(f"the model is a {type(path).__name__}, expected the path of a model file or a run folder")
    if str(path).startswith(hub.PREFIX):
        return hub.download(str(path))
    file = Path(path)
    if file.is_dir():
        is_run = (file / "recipe.yaml").is_file()  # the other tensors in a run folder are not models
        file = (None if is_run else hub.weights_file(file)) or file / "model.safetensors"
    if not file.is_file():
        raise CheckpointError(f"there is no model file {file}; a run folder has one after the training has ended")
    return file


def is_own_file(file: Path) -> bool:
    """Whether facemargin wrote the file."""
    try:
        require_small_header(file)
        with safe_open(file, framework="pt") as content:
            return (content.metadata() or {}).get("format") == json.dumps("facemargin")
    except (SafetensorError, OSError):
        return False


def checkpoint_recognizer(checkpoint: Checkpoint) -> tuple[Recognizer, ModelInfo]:
    """The network of another project in this package's classes, and its description for `save_model`."""
    family, architecture = checkpoint.family, checkpoint.architecture
    info = ModelInfo(
        backbone=architecture.backbone,
        options=dict(checkpoint.options),
        embedding_size=architecture.embedding_size,
        input_size=architecture.input_size,
        loss=family.loss,
        color_order=checkpoint.color_order,
        mean=family.mean,
        std=family.std,
        quality="norm" if checkpoint.quality is None else "crfiqa",
        family=family.name,
        licence=family.licence,
    )
    with blank_networks():
        recognizer = create_recognizer(info)
    recognizer.backbone.load_state_dict(checkpoint.state, assign=True)
    if recognizer.quality is not None and checkpoint.quality is not None:
        recognizer.quality.load_state_dict(checkpoint.quality, assign=True)
    return recognizer, info


def _own_recognizer(file: Path) -> tuple[Recognizer, ModelInfo]:
    state, info = read_model(file)
    try:
        with blank_networks():  # a damaged file may describe a network that is too large for memory
            create_recognizer(info).load_state_dict(state, assign=True)
        recognizer = create_recognizer(info)
        recognizer.load_state_dict(state)
    except (ConfigError, RuntimeError, TypeError, ValueError, ArithmeticError) as error:
        problem = " ".join(str(error).split())[:_LONGEST_PROBLEM]  # torch's message has many lines
        raise CheckpointError(f"{file} does not fit its own description: {problem}") from error
    if recognizer.backbone.input_size != info.input_size:
        raise CheckpointError(
            f"{file} does not fit its own description: it states images of {info.input_size} pixels, but its "
            f"network reads {recognizer.backbone.input_size}"
        )
    return recognizer, info


def _onnx_recognizer(file: Path, family: str | None) -> tuple[Recognizer, ModelInfo, list[str]]:
    told = None if family is None else FAMILIES[family]
    convention = told or FAMILIES["insightface"]
    onnx_network = read_onnx(file)
    info = ModelInfo(
        backbone="onnx",
        options={},
        embedding_size=onnx_network.backbone.embedding_size,
        input_size=onnx_network.backbone.input_size,
        loss=told.loss if told else "unknown",
        color_order=convention.color_order,
        mean=0.0 if onnx_network.normalizes else convention.mean,
        std=1.0 if onnx_network.normalizes else convention.std,
        family=told.name if told else "",
        licence=told.licence if told else "",
    )
    if told:
        notes = [f"note the licence: {told.licence}"] if told.non_commercial else []
    else:
        reads = (
            ("raw pixels 0…255, because its graph begins with a subtraction and a multiplication")
            if onnx_network.normalizes
            else "(v − 127.5)/127.5"
        )
        notes = [
            f"an ONNX file does not say from which project it is or what its network reads: {info.color_order} "
            f"and {reads} are assumed, as for InsightFace's models. Give its convention with family= (on the "
            "command line --family), or only the colours with color_order=; facemargin check-model measures "
            "whether they are right"
        ]
    return Recognizer(onnx_network.backbone), info, notes
