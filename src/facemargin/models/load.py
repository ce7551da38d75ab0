"""Loads a model from facemargin's own file or run folder, from a checkpoint of another project, or from the Hub."""

import json
import logging
import re
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from facemargin.backbones.precision import Precision
from facemargin.data.images.normalization import PerChannel, channels, per_channel
from facemargin.errors import CheckpointError, ConfigError
from facemargin.files.safetensors import require_small_header
from facemargin.interop import hub
from facemargin.interop.blank import blank_networks
from facemargin.interop.checkpoint import Checkpoint, read_checkpoint
from facemargin.interop.family import FAMILIES, ColorOrder
from facemargin.interop.onnx_backbone import OnnxBackbone, OnnxNetwork, read_onnx
from facemargin.interop.onnx_signature import Layout
from facemargin.interop.released import RELEASED, ReleasedModel, released_as, released_file
from facemargin.models.given_input import GivenInput
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
    color_order: ColorOrder | None = None,
    mean: PerChannel | None = None,
    std: PerChannel | None = None,
    layout: Layout | None = None,
    precision: Precision | None = None,
) -> Model:
    """The recogniser in a model file of facemargin, a run folder (its `model.safetensors`), another project's file
    (.ckpt, .pth, .pt, .safetensors, .onnx), a folder with such a file, a repository "hf:owner/name" or
    "hf:owner/name@revision", or a released model by its name ("sface"; `list_models`).

    device: "auto" is a GPU where there is one, else the CPU; an ONNX model stays on the CPU. precision: of the
    convolutions when embedding; by default bf16 on a GPU that has it, float32 on the CPU, see `Model`.

    family: the project of the checkpoint ("adaface", "funface", "cvlface", "insightface", "magface", "crfiqa"), if it
    cannot be recognised from the file; it never can for an ONNX file. trust: allow a pickle to run its code, which is
    refused otherwise. color_order, and mean and std: the network reads (pixel − mean)/std of pixels 0…255 in this order
    of colours, if you know it better than the file or its family; mean and std are a number each, or three in the order
    of the network's channels. layout: "NCHW" or "NHWC", where the order of an ONNX
    file's input is not declared.

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
    given = GivenInput(color_order=color_order, mean=mean, std=std, layout=layout)
    recognizer, info, notes = read_recognizer(path, family, trust, given)
    for note in notes:
        logger.warning("%s: %s", path, note)
    return Model(recognizer, info, device, precision)


def read_recognizer(
    path: str | Path, family: str | None = None, trust: bool = False, given: GivenInput | None = None
) -> tuple[Recognizer, ModelInfo, list[str]]:
    """As `load`, but returns the networks, their description, and the notes on assumptions and licences."""
    file = locate(path)
    given = given or GivenInput()
    released = RELEASED[str(path)] if is_released(path) else None
    if family is None and released is not None:
        family = released.family
    if file.suffix == ".onnx":
        return _onnx_recognizer(file, family, given, released)
    if given.layout is not None:
        raise ConfigError(f"{file} is no ONNX file, and facemargin knows the order of its input: remove layout")
    if is_own_file(file):
        if family is not None:
            raise ConfigError(f"{file} is facemargin's own file, which describes its input itself: remove family")
        recognizer, info = _own_recognizer(file)
        return recognizer, given.applied(info), []
    checkpoint = read_checkpoint(file, family, trust)
    notes = list(checkpoint.notes)
    if checkpoint.family.non_commercial:
        notes.append(f"note the licence: {checkpoint.family.licence}")
    recognizer, info = checkpoint_recognizer(checkpoint)
    return recognizer, given.applied(info), notes


def locate(path: str | Path) -> Path:
    """The file that `load` reads for `path`, downloaded if necessary. Raises CheckpointError if there is none."""
    if not isinstance(path, str | Path):
        raise ConfigError(f"the model is a {type(path).__name__}, expected the path of a model file or a run folder")
    if (code := named_code(path)) is not None:
        raise ConfigError(_runs_no_code(path, code))
    if str(path).startswith(hub.PREFIX):
        return hub.download(str(path))
    if is_released(path):
        return released_file(str(path), logger.warning)
    file = Path(path)
    if str(path) in RELEASED:
        logger.warning(
            "%s is the name of a released model, but also of a file or folder here, which is taken; the released model "
            "can be loaded from another folder",
            path,
        )
    if file.is_dir():
        is_run = (file / "recipe.yaml").is_file()  # the other tensors in a run folder are not models
        file = (None if is_run else hub.weights_file(file)) or file / "model.safetensors"
    if not file.is_file():
        raise CheckpointError(_missing(path, file))
    return file


def named_code(path: str | Path) -> tuple[Path, str] | None:
    """The file and the name in it (empty if there is none) of "my_network.py:model", which is code, not a model file;
    otherwise None."""
    found = re.fullmatch(r"(.+\.py)(?::(.*))?", str(path), re.DOTALL)
    return None if found is None else (Path(found[1]), found[2] or "")


def _runs_no_code(path: str | Path, code: tuple[Path, str]) -> str:
    return (
        f"{path} is Python code, which is never run to load a model file: in Python, import the network and give it to "
        "fm.wrap. Commands that embed or export take a network of your own as FILE.py:NAME, such as "
        f"{code[0]}:model; it cannot be uploaded, converted or trained, because a model file does not hold its code"
    )


def _missing(path: str | Path, file: Path) -> str:
    name = str(path)
    if file != Path(path) or Path(name).name != name or Path(name).suffix:
        return f"there is no model file {file}; a run folder has one after the training has ended"
    nearest = get_close_matches(name.lower(), RELEASED.names(), n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else "facemargin models lists them"
    return f"there is no model file or run folder {name}, and no released model has this name; {hint}"


def is_released(path: str | Path) -> bool:
    """Whether `path` is the name of a released model, and no file or folder, which would be meant instead."""
    return str(path) in RELEASED and not Path(path).exists()


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


def _onnx_recognizer(
    file: Path, family: str | None, given: GivenInput, released: ReleasedModel | None
) -> tuple[Recognizer, ModelInfo, list[str]]:
    told = None if family is None else FAMILIES[family]
    convention = told or FAMILIES["insightface"]
    released = None if told is not None else released or released_as(file)
    network = read_onnx(file, given.layout)
    backbone = network.backbone
    info = ModelInfo(
        backbone=network.name,
        options=network.options,
        embedding_size=backbone.embedding_size,
        input_size=backbone.input_size,
        loss=told.loss if told else "unknown",
        color_order=(released and released.color_order) or convention.color_order,
        mean=convention.mean if network.mean is None else network.mean,
        std=convention.std if network.std is None else network.std,
        family=released.name if released else told.name if told else "",
        licence=released.licence if released else told.licence if told else "",
    )
    notes = list(network.notes)
    if released:
        notes += [] if released.commercial_use == "yes" else [f"note the licence: {released.licence}"]
    elif told:
        notes += [f"note the licence: {told.licence}"] if told.non_commercial else []
    elif assumed := _assumed(info, network, given):
        notes.append(
            f"an ONNX file does not say from which project it is or what its network reads: {' and '.join(assumed)} "
            f"{'are' if len(assumed) > 1 else 'is'} assumed, as for InsightFace's models. Give what you know with "
            "color_order=, mean= and std=, or a project's convention with family= (on the command line --color, "
            "--mean, --std, --family); facemargin check-model measures whether it is right"
        )
    return Recognizer(backbone), _as_given(info, network, given), notes


def _assumed(info: ModelInfo, network: OnnxNetwork, given: GivenInput) -> list[str]:
    """What nobody has said of the input, in words."""
    assumed = [] if given.color_order else [info.color_order]
    if given.mean is not None:
        return assumed
    if network.mean is not None:
        return [*assumed, "raw pixels 0…255, because its graph begins with a subtraction and a multiplication"]
    return [*assumed, "(v − 127.5)/127.5"]


def _as_given(info: ModelInfo, network: OnnxNetwork, given: GivenInput) -> ModelInfo:
    """`given.applied(info)`; where the graph's own (u − mean)/std has been taken out of the network, it follows on what
    is given."""
    if given.mean is None or given.std is None or isinstance(network.backbone, OnnxBackbone):
        return given.applied(info)
    # (u − m)/s of u = (v − mean)/std is (v − (mean + std·m))/(std·s)
    rows = zip(*map(channels, (given.mean, given.std, info.mean, info.std)), strict=True)
    composed = [(mean + std * m, std * s) for mean, std, m, s in rows]
    mean, std = (tuple(float(pair[place]) for pair in composed) for place in range(2))
    info = replace(info, mean=per_channel("mean", mean), std=per_channel("std", std))
    return replace(given, mean=None, std=None).applied(info)
