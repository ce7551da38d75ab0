import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
from torch import nn

from facemargin.data.source import ArrayImages
from facemargin.errors import ConfigError, DataError, OutputError
from facemargin.features import store as feature_store
from facemargin.features.store import extract_features, features_key
from facemargin.models.model import Model
from tests.features.numbered_images import BATCH, NumberedImages
from tests.models.tiny_models import tiny_model
from tests.processes import Program
from tests.systems import posix_only

PROGRAM = ("-m", "tests.features.numbered_images")


@pytest.fixture(scope="module")
def model():
    return tiny_model(quality="crfiqa")


def direct(model, images, views=None):
    """Features, norms and qualities of one image after the other; zeros for those that cannot be read."""
    rows = []
    for index in range(len(images)):
        if index in images.broken:
            rows.append((np.zeros(8), 0, 0))
            continue
        one = model.embed([images.read(index)], views=views)
        rows.append((one.vectors[0] * one.norms[0], one.norms[0], one.quality[0]))
    return [np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)]


def same_features(stored, expected):
    for found, wanted in zip((stored.features_ND, stored.norms_N, stored.quality_N), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=2e-6, rtol=1e-5)


def test_the_features_are_those_of_the_model(model, tmp_path):
    images = NumberedImages(11, broken={3, 10})
    told = []
    stored = extract_features(model, images, tmp_path / "a" / "b", batch_size=4, progress=lambda *at: told.append(at))
    same_features(stored, direct(model, images))
    assert told == [(4, 11), (8, 11), (11, 11)]
    assert stored.readable_N.tolist() == [index not in images.broken for index in range(11)]
    assert stored.unreadable == {3: "numbered/3.jpg: broken", 10: "numbered/10.jpg: broken"}
    assert isinstance(stored.features_ND, np.memmap) and not stored.features_ND.flags.writeable
    assert (np.abs(stored.norms_N - stored.quality_N)[stored.readable_N] > 1e-3).all()
    one_view = extract_features(model, images, tmp_path / "one", views="one")
    same_features(one_view, direct(model, images, "one"))
    assert not np.allclose(one_view.features_ND, stored.features_ND)


def test_what_is_there_is_not_made_again_and_what_was_broken_is_tried_again(model, tmp_path):
    images = NumberedImages(9, broken={0, 5})
    extract_features(model, images, tmp_path, batch_size=4)
    images.reads.clear()
    stored = extract_features(model, images, tmp_path, batch_size=4)
    assert images.reads == [0, 5] and len(stored.unreadable) == 2
    images.broken = {5}
    stored = extract_features(model, images, tmp_path, batch_size=4)
    assert stored.unreadable == {5: "numbered/5.jpg: broken"}
    same_features(stored, direct(model, images))


def run(folder, count, pause=0.0, bytes_a_file=0):
    return Program(*PROGRAM, folder, count, pause, bytes_a_file)


@posix_only
@pytest.mark.slow
def test_a_killed_extraction_continues(tmp_path):
    model = tiny_model()
    process = run(tmp_path, 200, pause=0.01)
    reached = 0
    while reached < 24:
        assert process.poll() is None, process.communicate()
        reached = int((process.written().splitlines() or ["0"])[-1])
        time.sleep(0.002)
    process.kill()
    process.wait()
    kept = json.loads((tmp_path / "manifest.json").read_text())["done"]
    assert reached - BATCH <= kept < 200 and kept % BATCH == 0
    images = NumberedImages(200, broken={2})
    stored = extract_features(model, images, tmp_path, batch_size=BATCH)
    assert images.reads == [2, *range(kept, 200)]
    same_features(stored, direct(model, images))


def test_every_byte_cut_off_behind_the_manifest_is_made_again(model, tmp_path):
    # What a kill leaves: rows beyond the manifest, whole, torn or missing.
    images = NumberedImages(12)
    extract_features(model, images, tmp_path, batch_size=4)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"done": 4}))
    for name, size in (("features.npy", 128 + 4 * 8 * 4 + 17), ("norms.npy", 128 + 16), ("quality.npy", 128 + 48)):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:size])
    (tmp_path / ".manifest.json.1.partial").write_text("{")
    images.reads.clear()
    same_features(extract_features(model, images, tmp_path, batch_size=4), direct(model, images))
    assert images.reads[:8] == list(range(4, 12))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "features.npy", "manifest.json", "norms.npy", "quality.npy",
    ]  # fmt: skip


@posix_only
@pytest.mark.slow
def test_a_full_disk_is_said_and_leaves_what_was_there(tmp_path):
    room = 128 + 4 * 8 * 22  # a header, and features of 22 images: five batches of four
    out, _ = run(tmp_path, 40, bytes_a_file=room).communicate()
    message = out.splitlines()[-1]
    assert f"features cannot be written to {tmp_path}" in message and "File too large" in message
    assert "the first 20 of 40 are kept: free some space and run the same command again" in message
    images = NumberedImages(40, broken={2})
    stored = extract_features(tiny_model(), images, tmp_path)
    assert images.reads == [2, *range(20, 40)]
    same_features(stored, direct(tiny_model(), images))


def other_weights():
    model = tiny_model(quality="crfiqa")
    next(model.recognizer.parameters()).data[0, 0, 0, 0] += 1e-6
    return model


def test_the_key_knows_weights_settings_views_and_names(model):
    images = NumberedImages(3)
    keys = [
        features_key(model, images),
        features_key(model, images, "one"),
        features_key(other_weights(), images),
        features_key(tiny_model(quality="crfiqa", color_order="BGR"), images),
        features_key(tiny_model(quality="crfiqa", mean=0.0), images),
        features_key(model, NumberedImages(4)),
        features_key(model, NumberedImages(3, name="others")),
        features_key(model, images, key="landmarks"),
    ]
    assert len(set(keys)) == len(keys)
    assert features_key(tiny_model(quality="crfiqa"), NumberedImages(3), "flip") == keys[0]


def test_the_precision_is_part_of_the_key(model):
    other = Model(model.recognizer, model.info, precision="bf16")
    assert features_key(other, NumberedImages(2)) != features_key(model, NumberedImages(2))


def test_a_model_without_weights_of_its_own_needs_a_key():
    onnx = SimpleNamespace(recognizer=nn.Module(), info=tiny_model().info, precision="float32")
    with pytest.raises(ConfigError, match=r"no weights from which a fingerprint can be made: give a key"):
        features_key(onnx, NumberedImages(2))
    assert features_key(onnx, NumberedImages(2), key="a") != features_key(onnx, NumberedImages(2), key="b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": NumberedImages(5)}, "contains features of 6 images, not 5: give another folder, or delete it"),
        ({"images": NumberedImages(6, name="others")}, "of other images, another model or other views"),
        ({"views": "one"}, "of other images, another model or other views"),
        ({"model": other_weights()}, "of other images, another model or other views"),
    ],
)
def test_features_of_something_else_are_refused(model, tmp_path, change, message):
    extract_features(model, NumberedImages(6), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(DataError, match=message):
        extract_features(**{"model": model, "images": NumberedImages(6), "folder": tmp_path, **change})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_of_something_else_is_refused(model, tmp_path):
    (tmp_path / "features.npy").write_bytes(b"of a process killed before there was a manifest")
    (tmp_path / ".hidden").touch()
    extract_features(model, NumberedImages(2), tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "features.npy").write_bytes(b"precious")
    (other / "photo.jpg").touch()
    with pytest.raises(DataError, match=r"other contains other files \(photo.jpg\) and no manifest.json: give another"):
        extract_features(model, NumberedImages(2), other)
    assert (other / "features.npy").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("manifest.json", "{", "manifest.json is damaged"),
        ("manifest.json", "[]", "manifest.json is damaged"),
        ("manifest.json", '{"unreadable": {"9": "x"}, "done": 3, "images": 6}', "manifest.json is damaged"),
        ("manifest.json", '{"unreadable": {}, "done": 7, "images": 6}', "manifest.json is damaged"),
        ("manifest.json", '{"unreadable": {}, "done": 6, "images": 6, "format": "2"}', "in another format"),
        ("features.npy", "short", "features.npy has 5 bytes, expected 320 or more: delete .* to start again"),
    ],
)
def test_damaged_files_are_named(model, tmp_path, name, content, message):
    extract_features(model, NumberedImages(6), tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        extract_features(model, NumberedImages(6), tmp_path)


def test_a_folder_that_cannot_be_written_to_is_named(model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"features cannot be written to .*file/features"):
        extract_features(model, NumberedImages(6), tmp_path / "file" / "features")


def test_a_folder_without_a_readable_image_ends_early(model, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_store, "HOPELESS", 8)
    images = NumberedImages(100, broken=range(100))
    with pytest.raises(DataError, match=r"none of the first 8 images of numbered can be read; numbered/0.jpg: broken"):
        extract_features(model, images, tmp_path, batch_size=4)
    with pytest.raises(DataError, match=r"none of the first 2 images"):
        extract_features(model, NumberedImages(2, broken={0, 1}), tmp_path / "few")
    # once they can be read, nothing has to be deleted
    images.broken = set()
    same_features(extract_features(model, images, tmp_path), direct(model, images))


def test_no_images_make_no_features(model, tmp_path):
    stored = extract_features(model, ArrayImages([]), tmp_path)
    assert len(stored) == 0 and stored.features_ND.shape == (0, 8) and stored.readable_N.shape == (0,)


def test_a_value_that_is_not_finite_names_its_image(tmp_path):
    model = tiny_model()
    next(model.recognizer.parameters()).data.fill_(np.nan)
    with pytest.raises(DataError, match=r"the model returned a value that is not finite for numbered/1\.jpg"):
        extract_features(model, NumberedImages(3, broken={0}), tmp_path)
