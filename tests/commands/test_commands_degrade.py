from pathlib import Path

import cv2
import numpy as np
import pytest

from facemargin.data.formats.orl import embedded_verification_set
from facemargin.data.open import open_verification
from facemargin.data.pairs.insightface_bin_writer import write_bin
from facemargin.data.pairs.verification_set import VerificationSet, contiguous_folds
from facemargin.quality.degradation_kinds import DegradedByKinds


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> VerificationSet:
    """Twenty pairs of two people, from a .bin file."""
    whole = embedded_verification_set([1, 2])
    pairs = VerificationSet(
        name="small",
        images=whole.images,
        first_K=whole.first_K[:20],
        second_K=whole.second_K[:20],
        same_K=whole.same_K[:20],
        folds_K=contiguous_folds(20),
    )
    path = tmp_path_factory.mktemp("sets") / "small.bin"
    write_bin(pairs, path)
    return open_verification(path)


def assert_is_the_twin(twin, original, kinds, strength, seed):
    expected = DegradedByKinds(original.images, kinds, strength, seed)
    np.testing.assert_array_equal(twin.same_K, original.same_K)
    for k in range(len(original)):
        for ours, theirs in ((twin.first_K, original.first_K), (twin.second_K, original.second_K)):
            np.testing.assert_array_equal(twin.images.read(int(ours[k])), expected.read(int(theirs[k])))


def test_a_twin_as_bin_is_lossless(command, original, tmp_path):
    arguments = ("--kind", "noise, blur", "--strength", 0.3, "--seed", 7)
    path = original.images.name
    code, out, err = command("degrade", path, "--output", tmp_path / "twin.bin", *arguments)
    assert (code, err) == (0, "")
    assert out == f"20 pairs, 10 of them genuine; {tmp_path}/twin.bin\n"
    twin = open_verification(tmp_path / "twin.bin")
    assert twin.images.read_encoded(0).startswith(b"\x89PNG")
    assert_is_the_twin(twin, original, ["blur", "noise"], 0.3, 7)
    assert cv2.imdecode(np.frombuffer(twin.images.read_encoded(3), np.uint8), cv2.IMREAD_COLOR).shape == (92, 92, 3)


def test_a_twin_as_a_folder_keeps_people(command, tmp_path):
    code, out, err = command("degrade", "orl:3-5", "--output", tmp_path / "twin", "--kind", "downscale")
    assert (code, err) == (0, "") and "435 pairs, 135 of them genuine of 3 people" in out
    twin, original = open_verification(tmp_path / "twin"), open_verification("orl:3-5")
    assert_is_the_twin(twin, original, ["downscale"], 0.5, 0)
    assert twin.identity_names == ["s3", "s4", "s5"] and twin.folds_K is None


def test_folds_that_a_bin_file_cannot_keep_are_warned_of(command, tmp_path):
    code, _, err = command("degrade", "orl:3-4", "--output", tmp_path / "twin.bin", "--kind", "jpeg")
    assert code == 0 and "not the folds of orl:3-4; a folder as --output keeps them" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--kind", "blurr"), "unknown kind of degradation 'blurr'; did you mean 'blur'?"),
        (("--kind", "blur", "--strength", 2), "strength is 2.0, expected a number from 0 to 1"),
        (("--kind", "noise", "--seed", -1), "must not be negative"),
        ((), "--kind"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing(command, tmp_path, options, message):
    code, out, err = command("degrade", "orl:3-4", "--output", tmp_path / "twin", *options)
    assert code == 2 and message in out + err
    assert list(tmp_path.iterdir()) == []


def test_sets_that_are_not_there(command, tmp_path):
    code, _, err = command("degrade", tmp_path / "gone.bin", "--output", tmp_path / "twin.bin", "--kind", "blur")
    assert code == 2 and "gone.bin does not exist" in err


def test_a_set_is_not_replaced_by_its_own_twin(command, original, tmp_path, monkeypatch):
    path = tmp_path / "lfw.bin"
    path.write_bytes(Path(original.images.name).read_bytes())
    before = path.read_bytes()
    (tmp_path / "link.bin").symlink_to(path)
    monkeypatch.chdir(tmp_path)
    for named, output in (("lfw.bin", "lfw.bin"), ("lfw", tmp_path / "lfw.bin"), ("lfw.bin", "link.bin")):
        code, _, err = command("degrade", named, "--output", output, "--kind", "blur")
        assert code == 2 and "would be replaced by the output and so be lost: give the output another name" in err
    assert path.read_bytes() == before
