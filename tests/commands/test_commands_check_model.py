"""A network that sees red alone, on pictures whose red says who it is and whose blue is noise."""

import math

import cv2
import numpy as np
import pytest
import torch

from facemargin.commands.check_model import balanced_part, verdict
from facemargin.data.pairs.insightface_bin import load_bin
from facemargin.errors import DataError
from facemargin.interop.input_check import InputCheck, sign_test
from facemargin.models.info import ModelInfo, save_model
from facemargin.models.recognizer import create_recognizer

SIZE = 16


def write_model(path, **changes):
    values = {"options": {"input_size": SIZE, "width": 4}, "embedding_size": 16, "input_size": SIZE, "loss": "funface"}
    info = ModelInfo(backbone="small_resnet", **values, **changes)
    torch.manual_seed(0)
    recognizer = create_recognizer(info)
    with torch.no_grad():
        recognizer.backbone.stem[0].weight[:, 1:] = 0
    save_model(path, recognizer.eval().state_dict(), info)
    return path


def write_pairs(path, pairs=160, gray=False):
    import pickle

    random = np.random.default_rng(0)
    people = random.integers(0, 256, (40, SIZE, SIZE))
    encoded, same = [], []
    for pair in range(pairs):
        genuine = pair % 2 == 0
        first = random.integers(40)
        second = first if genuine else (first + 1 + random.integers(39)) % 40
        for person in (first, second):
            red = np.clip(people[person] + random.normal(0, 25, (SIZE, SIZE)), 0, 255)
            noise = random.integers(0, 256, (2, SIZE, SIZE))
            bgr = np.stack([red] * 3 if gray else [noise[0], noise[1], red], axis=2).astype(np.uint8)
            encoded.append(cv2.imencode(".png", bgr)[1].tobytes())
        same.append(genuine)
    path.write_bytes(pickle.dumps((encoded, same)))
    return path


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs") / "color.bin")


def test_the_right_order_is_confirmed(command, pairs, tmp_path):
    code, out, err = command("check-model", write_model(tmp_path / "m.safetensors"), "--pairs", pairs)
    assert (code, err) == (0, "") and "warning" not in out
    assert "RGB, (v − 127.5)/127.5 (declared)" in out and "BGR, (v − 127.5)/127.5" in out and "worse (p =" in out
    assert "RGB, (v − 0)/255" in out and "160 pairs" in out
    assert "colours: RGB, surely: with BGR the model recognises worse\n" in out
    assert "pixels: 160 pairs cannot tell (v − 127.5)/127.5 from (v − 0)/255 and (v − 0)/1" in out


def test_the_wrong_order_is_warned_of(command, pairs, tmp_path):
    path = write_model(tmp_path / "m.safetensors", color_order="BGR")
    code, out, _ = command("check-model", path, "--pairs", pairs)
    assert code == 0
    assert "warning: the model declares BGR, (v − 127.5)/127.5, but RGB, (v − 127.5)/127.5 recognises better" in out
    assert out.count("warning") == 1
    assert "colours: RGB, surely: with BGR, as declared, the model recognises worse\n" in out


def test_another_input_can_be_tried(command, pairs, tmp_path):
    path = write_model(tmp_path / "m.safetensors", color_order="BGR")
    code, out, _ = command("check-model", path, "--pairs", pairs, "--color", "RGB", "--mean", "0", "--std", "255")
    assert code == 0 and "RGB, (v − 0)/255 (declared)" in out and "colours: RGB, surely" in out


def check(only_declared, only_other, pairs):
    other = 0.5 + (only_other - only_declared) / pairs
    return InputCheck(0.5, other, sign_test(only_declared, only_other), only_declared, only_other, pairs)


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        ([check(20, 1, 100)], "RGB, surely: with a the model recognises worse"),
        ([check(20, 1, 100), check(9, 0, 100)], "RGB, surely: with a and b the model recognises worse"),
        ([check(1, 20, 100)], "a, surely: with RGB, as declared, the model recognises worse"),
        ([check(1, 20, 100), check(0, 30, 100)], "b, surely: with RGB, as declared, the model recognises worse"),
        ([check(0, 0, 60)], "60 pairs cannot tell RGB from a; use at least 160"),
        ([check(20, 1, 60), check(0, 0, 60)], "60 pairs cannot tell RGB from b; use at least 160"),
        ([check(2, 1, 60)], "60 pairs cannot tell RGB from a; use at least 80"),
        ([check(50, 50, 500)], "500 pairs cannot tell RGB from a: to this model it makes hardly a difference"),
    ],
)
def test_the_verdict_is_in_words(checks, words):
    assert verdict("RGB", ["a", "b"][: len(checks)], checks) == words


@pytest.mark.parametrize(("declared", "other"), [(8, 3), (12, 5), (30, 18)])
def test_so_many_pairs_can_tell_and_one_step_fewer_cannot(declared, other):
    """With as many more pairs that are divided alike, the test of the coin is decided, by counting all its tosses."""
    pairs = 200
    needed = check(declared, other, pairs).pairs_needed()

    def chance(different):
        heads = -(-declared * different // (declared + other))
        tails = sum(math.comb(different, i) for i in range(different - heads + 1)) / 2**different
        return 2 * tails

    different = next(n for n in range(8, 10_000) if chance(n) < 0.01)
    assert needed == -(-different * pairs // (declared + other))


def test_the_size_of_the_set_is_that_of_the_message(command, pairs, tmp_path):
    path = write_model(tmp_path / "m.safetensors")
    out = command("check-model", path, "--pairs", pairs, "--limit", "8")[1]
    assert "colours: 8 pairs cannot tell RGB from BGR; use at least " in out


def test_grey_pictures_cannot_tell(command, tmp_path):
    path = write_model(tmp_path / "m.safetensors", color_order="BGR")
    code, out, _ = command("check-model", path, "--pairs", write_pairs(tmp_path / "gray.bin", 20, gray=True))
    assert code == 0 and "the pictures are grey, so the colour order cannot be tested" in out and "warning" not in out


def test_a_part_of_a_set_is_balanced_and_spread(pairs):
    one = load_bin(pairs)
    part = balanced_part(one, 20)
    assert len(part) == 20 and part.same_K.sum() == 10 and len(part.images) <= 40
    indices = [part.images.describe(index) for index in range(len(part.images))]
    assert indices == sorted(indices, key=lambda name: int(name.rsplit(" ", 1)[1]))
    assert int(indices[-1].rsplit(" ", 1)[1]) > 300  # to the end of the set
    for kth in range(len(part)):
        left = part.images.describe(int(part.first_K[kth])).rsplit(" ", 1)[1]
        right = part.images.describe(int(part.second_K[kth])).rsplit(" ", 1)[1]
        assert int(right) == int(left) + 1 and part.same_K[kth] == (int(left) // 2 % 2 == 0)
    assert len(balanced_part(one, 0)) == 160


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--limit", "-1"), "--limit is -1"),
        (("--family", "adaface"), "facemargin's own file"),
    ],
)
def test_bad_options_are_named(command, pairs, tmp_path, arguments, message):
    path = write_model(tmp_path / "m.safetensors")
    code, _, err = command("check-model", path, "--pairs", pairs, *arguments)
    assert code == 2 and message in err


def test_a_set_of_one_kind_is_refused(pairs):
    one = load_bin(pairs)
    from dataclasses import replace

    with pytest.raises(DataError, match="does not have both genuine and impostor pairs"):
        balanced_part(replace(one, same_K=np.ones_like(one.same_K)), 10)
