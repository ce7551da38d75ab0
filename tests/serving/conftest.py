"""A small model with a calibration, and people enrolled in a gallery of it, made once."""

import json
import logging
import shutil
from types import SimpleNamespace

import pytest
import torch

import facemargin as fm
from facemargin.data.source import encode_png
from facemargin.serving.logs import JsonLines

NETWORK = """
import time
import torch
import facemargin as fm

def model():
    torch.manual_seed(5)
    return fm.wrap(fm.create_backbone("small_resnet", embedding_size=64).eval(), input_size=64)

def slow():
    found = model()
    found.backbone.register_forward_pre_hook(lambda *_: time.sleep(1))
    return found
"""


@pytest.fixture(scope="session")
def parts(tmp_path_factory):
    """`model`, its `calibration`, a `gallery` folder with s1 and s2, PNG files `png` of people 1 to 4, and `network`,
    by which the command line finds the model."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "network.py").write_text(NETWORK)
    torch.manual_seed(5)
    model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64).eval(), input_size=64)
    calibration = fm.calibrate(model, fm.open_verification("orl:1-6"))
    calibration.save(folder / "calibration.json")
    faces = fm.open_images("orl:1-4")
    with fm.Gallery.create(folder / "staff", model) as gallery:
        for person in range(2):
            gallery.enrol([faces.read(10 * person + number) for number in range(3)], f"s{person + 1}", gate="off")
    png = [encode_png(faces.read(index)) for index in range(40)]
    return SimpleNamespace(
        model=model, calibration=calibration, folder=folder, gallery=folder / "staff", faces=faces, png=png,
        network=f"{folder / 'network.py'}:model",
    )  # fmt: skip


@pytest.fixture
def staff(parts, tmp_path):
    """A copy of the gallery, to change."""
    return shutil.copytree(parts.gallery, tmp_path / "staff")


@pytest.fixture
def log_lines():
    """The lines that the service logs, as it writes them."""
    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(JsonLines().format(record))

    logger, handler = logging.getLogger("facemargin.serving"), Keep()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lines
    logger.removeHandler(handler)
    assert all(json.loads(line)["time"] for line in lines)
