"""Whose figures a verb writes, and a word about what it replaces."""

import hashlib
from pathlib import Path

import torch

from facemargin.commands._say import say
from facemargin.evaluation.origin import FINGERPRINT_DIGITS, Origin
from facemargin.models import Model


def say_replaced(path: Path) -> None:
    """Say on stderr that a file which was there is being replaced by the one to be written."""
    if path.exists():
        say(f"note: {path} was there already and is replaced", stderr=True)


def model_origin(name: str | Path, model: Model, file_key: str = "") -> Origin:
    """Of a model's weights and what it says of itself; `file_key` stands for the weights that ONNX does not show."""
    digest = hashlib.sha256(f"{sorted(vars(model.info).items(), key=str)}{file_key}".encode())
    for key, tensor in sorted(model.recognizer.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return Origin(str(name), digest.hexdigest()[:FINGERPRINT_DIGITS])
