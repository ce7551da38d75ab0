import re

import numpy as np
import pytest

import facemargin as fm
from facemargin.data.formats.named_images import NamedImages
from facemargin.export.exported_model import ExportedModel
from tests.commands.face_folder import write_faces


def test_a_run_is_exported_and_checked_on_the_given_faces(command, trained_run, tmp_path):
    paths = write_faces(tmp_path / "faces", range(1, 3))
    output = tmp_path / "new" / "model.onnx"
    code, out, err = command(
        "export", trained_run, "--output", output, "--preprocess", "--check", tmp_path / "faces", paths[0]
    )
    assert (code, err) == (0, "")
    found = re.search(r"checked on 6 faces in batches of 1 and 8.* embedding (\S+), norm", out)
    assert found and float(found[1]) < 1e-4
    assert f"{output}: " in out and [path.name for path in output.parent.iterdir()] == ["model.onnx"]
    expected = fm.load(trained_run).embed(NamedImages(paths))
    np.testing.assert_allclose(ExportedModel(output).embed(NamedImages(paths)).vectors, expected.vectors, atol=1e-4)


def test_int8_says_how_far_it_is_from_the_model(command, trained_run, tmp_path):
    output = tmp_path / "int8.onnx"
    code, out, err = command("export", trained_run, "--output", output, "--int8", "--calibration-data", "orl:5-6")
    assert (code, err) == (0, "")
    found = re.search(r"checked on 20 faces.* embedding (\S+), norm", out)
    assert found and 1e-4 < float(found[1]) < 0.2
    assert ExportedModel(output).embed(NamedImages(write_faces(tmp_path, range(1, 2)))).vectors.shape == (3, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--int8"], "--int8 and --calibration-data must be given together"),
        (["--calibration-data", "orl"], "--int8 and --calibration-data must be given together"),
        (["--int8", "--calibration-data", "nowhere"], "nowhere does not exist"),
        (["--check", "nowhere"], "nowhere does not exist"),
        (["--output", "model.pt"], "expected a name that ends in .onnx"),
    ],
)
def test_options_that_do_not_fit_are_refused(command, trained_run, tmp_path, options, message):
    code, out, err = command("export", trained_run, "--output", tmp_path / "model.onnx", *options)
    assert code == 2 and message in err and out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_there_is_named(command, tmp_path):
    code, _, err = command("export", tmp_path, "--output", tmp_path / "model.onnx")
    assert code == 2 and "there is no model file" in err
