from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import facemargin as fm
from facemargin.backbones import create_backbone
from tests.interop.test_interop_onnx import write_network

SIZE = 16


@pytest.fixture(scope="module")
def mobilefacenet() -> OrderedDict:
    """InsightFace's `mbf`, of 16-pixel images and 8 features."""
    torch.manual_seed(0)
    return create_backbone("mobilefacenet", 8, input_size=SIZE).state_dict()


@pytest.fixture
def checkpoint(mobilefacenet, tmp_path):
    torch.save(mobilefacenet, tmp_path / "backbone.pth")
    return tmp_path / "backbone.pth"


def test_what_was_recognised_is_printed_and_the_file_is_ours(command, checkpoint, tmp_path):
    target = tmp_path / "new" / "own.safetensors"
    code, out, err = command("convert-weights", checkpoint, target)
    assert (code, err) == (0, "")
    for part in ("InsightFace", "mobilefacenet, 8 features of 16 × 16 px", "RGB", "(pixel − 127.5) / 127.5"):
        assert part in out
    assert "licence warning: InsightFace's code is under the MIT licence, but the models it provides are for" in out
    assert f"written: {target}" in out
    images = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)
    np.testing.assert_array_equal(fm.load(target).embed(images).vectors, fm.load(checkpoint).embed(images).vectors)
    assert [path.name for path in target.parent.iterdir()] == ["own.safetensors"]


def test_options_are_kept(command, checkpoint, tmp_path):
    target = tmp_path / "own.safetensors"
    code, out, _ = command("convert-weights", checkpoint, target, "--color", "BGR", "--family", "insightface")
    assert code == 0 and "BGR" in out and fm.load(target).info.color_order == "BGR"


def test_magfaces_conventions_and_what_is_left_out_are_printed(command, tmp_path):
    torch.manual_seed(0)
    network = create_backbone("iresnet18", 8, input_size=SIZE).state_dict()
    content = {f"features.module.{key}": value.half() if value.ndim == 4 else value for key, value in network.items()}
    content |= {"parallel_fc.weight": torch.ones(4, 8)}
    torch.save({"state_dict": content}, tmp_path / "magface.pth")
    code, out, _ = command("convert-weights", tmp_path / "magface.pth", tmp_path / "own.safetensors")
    assert code == 0
    for part in ("MagFace", "iresnet18", "BGR", "(pixel − 0) / 255", "batch_norm_eps 2e-05", "parallel_fc.weight"):
        assert part in out
    assert "licence: MagFace" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{checkpoint}", "{folder}/own.pth"), "expected a name that ends in .safetensors"),
        (("{folder}/nothing.pth", "{folder}/own.safetensors"), "there is no model file"),
        (("{checkpoint}", "{folder}/own.safetensors", "--family", "adaface"), "which AdaFace does not use"),
        (("{folder}/x.onnx", "{folder}/own.safetensors"), "is an ONNX graph"),
        (("{folder}/text.pth", "{folder}/own.safetensors"), "text.pth is not a checkpoint"),
    ],
)
def test_bad_input_is_one_line_and_leaves_what_was_there(command, checkpoint, tmp_path, arguments, message):
    write_network(tmp_path / "x.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "text.pth").write_text("text")
    (tmp_path / "own.safetensors").write_text("earlier")
    filled = [one.format(checkpoint=checkpoint, folder=tmp_path) for one in arguments]
    code, out, err = command("convert-weights", *filled)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1
    assert (tmp_path / "own.safetensors").read_text() == "earlier"


def test_our_own_files_need_no_conversion(command, checkpoint, tmp_path):
    command("convert-weights", checkpoint, tmp_path / "own.safetensors")
    code, _, err = command("convert-weights", tmp_path / "own.safetensors", tmp_path / "other.safetensors")
    assert code == 2 and "facemargin's own file already" in err


def test_a_checkpoint_is_not_replaced_by_its_own_conversion(command, mobilefacenet, tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(mobilefacenet, path)
    before = path.read_bytes()
    code, _, err = command("convert-weights", path, path)
    assert code == 2 and "would be replaced by the output and so be lost" in err
    assert path.read_bytes() == before


class Runs:
    def __reduce__(self):
        return eval, ("open(path, 'w').close()",)


def test_code_is_refused_and_trust_explained(command, tmp_path):
    torch.save({"state_dict": {}, "x": Runs()}, tmp_path / "x.ckpt")
    code, _, err = command("convert-weights", tmp_path / "x.ckpt", tmp_path / "own.safetensors")
    assert code == 2 and "calls builtins.eval" in err and "--trust" in err


def test_trust_reads_a_whole_network(command, tmp_path):
    torch.manual_seed(0)
    torch.save(create_backbone("mobilefacenet", 8, input_size=SIZE), tmp_path / "whole.pth")
    code, _, err = command("convert-weights", tmp_path / "whole.pth", tmp_path / "own.safetensors")
    assert code == 2 and "whole object of class facemargin.backbones.mobilefacenet.MobileFaceNet" in err
    code, out, err = command("convert-weights", tmp_path / "whole.pth", tmp_path / "own.safetensors", "--trust")
    assert code == 0 and "mobilefacenet" in out
