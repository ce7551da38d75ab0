import json

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import facemargin as fm
from facemargin.errors import CheckpointError
from facemargin.interop.reading import read_checkpoint_file
from facemargin.models.info import read_model, save_model
from tests.models.tiny_models import model_info

STATE = {"w": torch.arange(12.0).reshape(3, 4), "n": torch.tensor(7)}


def written(tmp_path, **changes):
    path = tmp_path / "model.safetensors"
    save_model(path, STATE, model_info(**changes))
    return path


def test_weights_and_description_read_back(tmp_path):
    info = {"options": {"blocks": [1, 2], "width": 4}, "views": "multi", "recipe": "head:\n  é: 1\n", "mean": 1.5}
    state, read = read_model(written(tmp_path, **info))
    assert read == model_info(**info)
    assert state.keys() == STATE.keys()
    for key, value in STATE.items():
        torch.testing.assert_close(state[key], value, rtol=0, atol=0)


def test_tensors_that_share_memory_or_are_not_contiguous_are_written(tmp_path):
    weight = torch.rand(4, 3, 2, 2).contiguous(memory_format=torch.channels_last)
    path = tmp_path / "model.safetensors"
    save_model(path, {"a": weight, "b": weight, "c": weight[:, 1]}, model_info())
    state, _ = read_model(path)
    for key, value in {"a": weight, "b": weight, "c": weight[:, 1]}.items():
        torch.testing.assert_close(state[key], value, rtol=0, atol=0)


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\xff" * 100])
def test_damaged_files_are_named(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"cannot read the model .*model\.safetensors"):
        read_model(path)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.floats(0, 1, exclude_max=True))
def test_truncated_files_are_named(tmp_path, cut):
    path = written(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(cut * len(content))])
    with pytest.raises(CheckpointError, match=r"cannot read the model .*model\.safetensors"):
        read_model(path)


def test_three_numbers_of_the_pixels_are_kept_and_equal_ones_are_one(tmp_path):
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    written = {}
    for name, numbers in {"three": (mean, std), "one": (127.5, 127.5), "equal": ((127.5,) * 3, [127.5] * 3)}.items():
        path = tmp_path / f"{name}.safetensors"
        save_model(path, STATE, model_info(mean=numbers[0], std=numbers[1]))
        written[name] = path.read_bytes()
        info = read_model(path)[1]
        assert (info.mean, info.std) == (numbers if name == "three" else (127.5, 127.5))
    assert written["one"] == written["equal"] != written["three"]
    assert b'\\"mean\\":\\"127.5' in written["one"] or b'"mean":"127.5"' in written["one"]


def test_missing_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"nothing\.safetensors"):
        read_model(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}, {"format": '"pt"'}, {"backbone": '"ir_50"'}])
def test_safetensors_of_others_are_told_apart(tmp_path, metadata):
    path = tmp_path / "model.safetensors"
    save_file(STATE, path, metadata=metadata)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is a safetensors file but was not written by face"):
        read_model(path)


def foreign(tmp_path, **changes):
    metadata = {key: json.dumps(value) for key, value in vars(model_info()).items()} | {"format": '"facemargin"'}
    metadata = {key: value for key, value in (metadata | changes).items() if value is not None}
    path = tmp_path / "model.safetensors"
    save_file(STATE, path, metadata=metadata)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": None}, "backbone"),
        ({"options": "{'width'"}, "has no valid description of its model"),
        ({"color_order": '"bgr"'}, "color_order is 'bgr', expected one of RGB, BGR"),
        ({"quality": '"ratio"'}, "quality is 'ratio', expected one of norm, crfiqa"),
        ({"views": '"all"'}, "views is 'all', expected one of one, flip, multi"),
        ({"backbone": "null"}, "backbone and reconstruction are both null"),
        ({"std": "0"}, "std is 0, expected a positive number"),
        ({"std": '"x"'}, "model.safetensors"),
        ({"std": "[1, 0, 2]"}, r"std is \[1, 0, 2\], expected positive ones"),
        ({"mean": "[1, 2]"}, r"mean is \[1, 2\], expected a number, or three"),
        ({"mean": "[1, [2], 3]"}, "expected a number, or three"),
        ({"mean": '{"R": 1}'}, "expected a number, or three"),
        ({"mean": "null"}, "mean is None"),
        ({"mean": "NaN"}, "mean is nan"),
        ({"mean": "1" + "0" * 400}, "has no valid description of its model"),
        ({"embedding_size": '"8"'}, "embedding_size is '8'"),
        ({"input_size": "60000"}, "input_size is 60000, expected 1 to 1024 pixels"),
        ({"options": "[" * 100_000}, "has no valid description of its model"),
    ],
)
def test_a_description_that_does_not_hold_is_named(tmp_path, changes, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        read_model(foreign(tmp_path, **changes))
    assert "model.safetensors" in str(caught.value)


def test_a_header_that_is_larger_than_any_networks_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(STATE, path, metadata={str(number): "" for number in range(300_000)})
    for read in (read_model, read_checkpoint_file, fm.load):
        with pytest.raises(CheckpointError, match=r"model\.safetensors claims a header of [\d,]+ bytes"):
            read(path)


def test_what_later_versions_add_is_ignored(tmp_path):
    _, info = read_model(foreign(tmp_path, later='"something"'))
    assert info == model_info()
