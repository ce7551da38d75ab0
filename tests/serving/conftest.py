"""A small model with a calibration, and people enrolled in a gallery of it, made once."""

import shutil
from types import SimpleNamespace

import pytest

import facemargin as fm
from facemargin.data.source import encode_png


@pytest.fixture(scope="session")
def parts(tmp_path_factory):
    """`model`, its `calibration`, a `gallery` folder with s1 and s2, and PNG files `png` of people 1 to 4."""
    model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64).eval(), input_size=64)
    calibration = fm.calibrate(model, fm.open_verification("orl:1-6"))
    folder = tmp_path_factory.mktemp("served") / "staff"
    faces = fm.open_images("orl:1-4")
    with fm.Gallery.create(folder, model) as gallery:
        for person in range(2):
            gallery.enrol([faces.read(10 * person + number) for number in range(3)], f"s{person + 1}", gate="off")
    png = [encode_png(faces.read(index)) for index in range(40)]
    return SimpleNamespace(model=model, calibration=calibration, gallery=folder, faces=faces, png=png)


@pytest.fixture
def staff(parts, tmp_path):
    """A copy of the gallery, to change."""
    return shutil.copytree(parts.gallery, tmp_path / "staff")
