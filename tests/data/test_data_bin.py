"""InsightFace .bin files: what Python 2 and 3 wrote, and what nobody should open."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from sample_images import encode, smooth_image

from facemargin.data.bin import load_bin
from facemargin.errors import CorruptImageError, DataError

IMAGES = [encode(smooth_image(seed)) for seed in range(40)]
SAME = [k % 3 == 0 for k in range(20)]


def load(tmp_path, content: bytes):
    path = tmp_path / "faces.bin"
    path.write_bytes(content)
    return load_bin(path)


def assert_holds_the_pairs(pairs) -> None:
    assert len(pairs) == 20 and len(pairs.images) == 40 and pairs.name == "faces"
    np.testing.assert_array_equal(pairs.same_K, SAME)
    np.testing.assert_array_equal(pairs.first_K, np.arange(0, 40, 2))
    np.testing.assert_array_equal(pairs.second_K, np.arange(1, 40, 2))
    np.testing.assert_array_equal(pairs.folds_K, np.repeat(np.arange(10), 2))
    assert np.abs(pairs.images.read(7).astype(int) - smooth_image(7)).mean() < 6


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("numpy_bools", [False, True])
@pytest.mark.parametrize("container", [tuple, list])
def test_python_3_files_of_every_protocol(tmp_path, protocol, numpy_bools, container):
    same = [np.bool_(value) for value in SAME] if numpy_bools else SAME
    assert_holds_the_pairs(load(tmp_path, pickle.dumps(container([IMAGES, same]), protocol)))


def python_2_pickle(protocol: int) -> bytes:
    """What Python 2's cPickle writes for (list of str, list of bool); its str is bytes."""
    if protocol == 0:
        strings = b"".join(b"S" + repr(image)[1:].encode() + b"\na" for image in IMAGES)
        return (
            b"((lp1\n" + strings + b"(lp2\n" + b"".join(b"I01\na" if same else b"I00\na" for same in SAME) + b"tp3\n."
        )
    strings = b"".join(b"T" + len(image).to_bytes(4, "little") + image for image in IMAGES)
    return b"\x80\x02](" + strings + b"e](" + b"".join(b"\x88" if same else b"\x89" for same in SAME) + b"e\x86."


@pytest.mark.parametrize("protocol", [0, 2])
def test_python_2_files(tmp_path, protocol):
    assert_holds_the_pairs(load(tmp_path, python_2_pickle(protocol)))


def test_old_numpys_name_for_truth_values(tmp_path):
    content = pickle.dumps((IMAGES, [np.bool_(value) for value in SAME]), 2)
    assert b"numpy._core.multiarray" in content
    assert_holds_the_pairs(load(tmp_path, content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")))


class Calls:
    """Pickles as a call of `function` with `args`."""

    def __init__(self, function, *args) -> None:
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "call", [(os.system, "touch {}"), (eval, "open({!r}, 'w')"), (Path.touch, Path("{}")), (open, "{}", "w")]
)
def test_a_hostile_pickle_is_not_executed(tmp_path, protocol, call):
    function, argument, *rest = call
    victim = tmp_path / "victim"
    hostile = Calls(function, type(argument)(str(argument).format(str(victim))), *rest)
    with pytest.raises(DataError, match=r"faces\.bin .*it refers to .* no \.bin file needs"):
        load(tmp_path, pickle.dumps(([hostile, *IMAGES], SAME), protocol))
    assert not victim.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cnumpy.core.multiarray\nscalar\n}X\x01\0\0\0aX\x01\0\0\0bsb.",  # sets an attribute of an admitted name
        b"cnumpy\ndtype\n(U\x01OI0\nI1\ntR.",  # numpy's object type
        b"c_codecs\nencode\n(X\x01\0\0\0aX\x05\0\0\0rot13tR.",
        b"cnumpy.core.multiarray\nscalar\n(U\x02b1U\x01\x01tR.",
        b"\x80\x02\x82\x01.",  # an extension code
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",  # bytes of 2^63
        b"Pname\n.",  # a persistent id
    ],
)
def test_admitted_names_cannot_be_turned_to_other_ends(tmp_path, content):
    with pytest.raises(DataError, match=r"faces\.bin"):
        load(tmp_path, content)


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_refused_with_its_name(tmp_path, kept):
    content = pickle.dumps((IMAGES, SAME))
    with pytest.raises(DataError, match=r"faces\.bin is not an InsightFace \.bin file, or it is damaged"):
        load(tmp_path, content[: int(kept * len(content))])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": []}, "holds a dict"),
        ((IMAGES, SAME, 3), "expected"),
        ((IMAGES[:-1], SAME), "39 images for 20 pairs"),
        (([], []), "0 images for 0 pairs"),
        ((IMAGES, [1] * 20), "truth values"),
        (([3] * 40, SAME), "encoded images"),
    ],
)
def test_other_contents_are_refused_with_what_was_expected(tmp_path, content, message):
    with pytest.raises(DataError, match=rf"faces\.bin: .*{message}"):
        load(tmp_path, pickle.dumps(content))


def test_a_missing_file_and_a_corrupt_image_are_named(tmp_path):
    with pytest.raises(DataError, match=r"missing\.bin: cannot be read"):
        load_bin(tmp_path / "missing.bin")
    pairs = load(tmp_path, pickle.dumps(([IMAGES[0][:100], *IMAGES[1:]], SAME)))
    assert pairs.images.read(1).shape == (40, 40, 3)
    with pytest.raises(CorruptImageError, match=r"faces\.bin image 0: .*truncated"):
        pairs.images.read(0)
