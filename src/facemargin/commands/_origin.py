"""The origin of the figures that a command writes, and a note about files that it replaces."""

import hashlib
from pathlib import Path

import torch

from facemargin.commands._say import say
from facemargin.errors import ConfigError
from facemargin.evaluation.origin import FINGERPRINT_DIGITS, Making, Origin
from facemargin.models import Model
from facemargin.training.environment import environment


def say_replaced(path: Path) -> None:
    """Print a note to stderr if a file exists already and will be replaced."""
    if path.exists():
        say(f"note: {path} exists already and is replaced", stderr=True)


def require_other_file(output: Path, given: Path) -> None:
    """Raise ConfigError if a command would replace the file that it was given."""
    if output.exists() and given.exists() and output.samefile(given):
        raise ConfigError(f"{given} would be replaced by the output and so be lost: give the output another name")


def model_origin(name: str | Path, model: Model, file_key: str = "") -> Origin:
    """The origin of a model, with a fingerprint of its weights and description. `file_key` replaces the weights of an
    ONNX model, which cannot be read. Figures of another precision than float32 are of another origin, which says so."""
    digest = hashlib.sha256(f"{sorted(vars(model.info).items(), key=str)}{file_key}".encode())
    for key, tensor in sorted(model.recognizer.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    precision = "" if model.precision == "float32" else f" in {model.precision}"
    return Origin(str(name), digest.hexdigest()[:FINGERPRINT_DIGITS] + precision)


def making(loss: str) -> Making:
    """How this command makes the figures of a model that was trained with `loss` (empty if that is not known)."""
    now = environment()
    versions = ", ".join(f"{name} {now[name]}" for name in ("facemargin", "python", "torch"))
    return Making(loss, str(now["date"]), str(now["command"]), versions)
