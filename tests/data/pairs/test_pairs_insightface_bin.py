"""InsightFace .bin files: what Python 2 and 3 wrote, and what nobody should open."""

import os
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from facemargin.data.images.decode import decode_image
from facemargin.data.pairs.insightface_bin import load_bin
from facemargin.errors import CorruptImageError, DataError
from tests.data.sample_images import encode, smooth_image

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


def as_arrays(images: list[bytes]) -> list[np.ndarray]:
    """As OpenCV's imencode returns them: some (n,), some (n, 1)."""
    arrays = [np.frombuffer(image, dtype=np.uint8) for image in images]
    return [array[:, None] if number % 2 else array.copy() for number, array in enumerate(arrays)]


def as_object_array(values: list) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


IMAGE_FORMS = {
    "uint8 arrays": as_arrays(IMAGES),
    "numpy bytes": [np.bytes_(image) for image in IMAGES],
    "an object array": as_object_array(IMAGES),
    "an object array of arrays": as_object_array(as_arrays(IMAGES)),
    "a bytes array": np.array(IMAGES),
}
SAME_FORMS = {
    "a bool array": np.array(SAME),
    "an object array": np.array(SAME, dtype=object),
    "a big-endian array": np.array(SAME, dtype=">i4"),
    "integers": [np.int64(value) for value in SAME],
    "a uint8 array": np.array(SAME, dtype=np.uint8),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_numpy_scalars_and_arrays_of_every_protocol(tmp_path, protocol):
    for images in IMAGE_FORMS.values():
        assert_holds_the_pairs(load(tmp_path, pickle.dumps((images, SAME), protocol)))
    for same in SAME_FORMS.values():
        assert_holds_the_pairs(load(tmp_path, pickle.dumps((IMAGES, same), protocol)))


def test_an_image_that_is_stored_once_is_read_once(tmp_path):
    one, two, three = IMAGES[:3]
    pairs = load(tmp_path, pickle.dumps(([one, two, one, three], [True, False])))
    assert len(pairs.images) == 3
    np.testing.assert_array_equal([pairs.first_K, pairs.second_K], [[0, 0], [1, 2]])
    assert [pairs.images.describe(index)[-7:] for index in range(3)] == ["image 0", "image 1", "image 3"]
    np.testing.assert_array_equal(pairs.images.read(2), decode_image(three, ""))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value",
    [np.float32(1), np.zeros(3), np.array(["text"]), np.zeros(2, dtype="V8"), np.datetime64("2020-01-01"), {1}, 1j],
    ids=repr,
)
def test_other_values_are_refused(tmp_path, protocol, value):
    with pytest.raises(DataError, match=r"faces\.bin.*(it holds|it refers to|pickle instruction)"):
        load(tmp_path, pickle.dumps((IMAGES, [*SAME[:-1], value]), protocol))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([np.zeros((112, 112, 3), np.uint8)] * 40, "array of 3 dimensions"),
        ([np.zeros((112, 112), np.uint8)] * 40, r"array of shape \(112, 112\).* encoded images"),
        ([np.zeros(9, np.int64)] * 40, "image 0: holds ndarray"),
        (np.array([b"short"] * 40), "strings of 5 bytes, too short"),
        (np.zeros(40, np.uint8), "expected a list of encoded images"),
    ],
)
def test_arrays_that_are_no_images_are_refused(tmp_path, images, message):
    with pytest.raises(DataError, match=rf"faces\.bin.*{message}"):
        load(tmp_path, pickle.dumps((images, SAME)))


TYPE_U1 = b"cnumpy\ndtype\n(U\x02u1\x89\x88tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
TEXT = b"X" + (10**5).to_bytes(4, "little") + b"a" * 10**5 + b"\x94"
EMPTY_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85U\x01btR"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (b"(" * 10**6, "far more objects"),
        (b"]" * 10**6, "far more objects"),
        (b"K\x01" + b"\x85" * 10**6, "far more objects"),
        (TEXT + 10**3 * (b"c_codecs\nencode\nj\0\0\0\0U\x06latin1\x86R"), "far more objects"),
        (b"Nr\xff\xff\xff\x7f.", r"contains a NoneType"),  # memo entry two thousand million
        (EMPTY_ARRAY + b"(K\x01J\xff\xff\xff\x7f\x85" + TYPE_U1 + b"\x89U\x01atb.", "without as much data"),
        (EMPTY_ARRAY + b"(K\x01J\xff\xff\xff\x7fK\0\x86" + TYPE_U1 + b"\x89U\x01atb.", "expected one dimension"),
        (EMPTY_ARRAY + b"(K\x01" + b"L" + b"9" * 10**5 + b"L\n\x85" + TYPE_U1 + b"\x89U\x01atb.", "4300"),
        (EMPTY_ARRAY + b"}b.", "array without shape, type and data"),
        (TYPE_U1 + b"Nb.", "without a byte order"),
        (b"]U\x01ab.", "sets the state of a list"),
        (b"cnumpy\ndtype\nU\x01ab.", "sets the state of a type"),
        (b"K\x01)R.", "calls a value of type int, which is no function"),
        (b"c__builtin__\nbytes\n(J\xff\xff\xff\x7ftR.", "takes 0 positional arguments"),
        (b"(\x94h\0h\0h\0t.", "values that are not there"),
        (b"\x93.", "values that are not there"),
        (b"cbuiltins\ngetattr\n.", r"refers to builtins\.getattr"),
        (b"cnumpy\nload\n.", r"refers to numpy\.load"),
        (b"cfacemargin.files.pickled_numpy\nPickledArray\n.", "no .bin file needs"),
        (b"ios\nsystem\n.", "values that are not there"),
        (b"(ios\nsystem\n.", r"refers to os\.system"),
        (b"(cos\nsystem\nU\x01ao.", r"refers to os\.system"),
        (b"\x8c\x02os\x8c\x06system\x93)R.", r"refers to os\.system"),
        (b"c" + b"a" * 10**6 + b"\nb\n.", r"a{100}"),
    ],
)  # fmt: skip
def test_programs_that_ask_for_too_much_are_refused_in_little_memory(tmp_path, program, message):
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=rf"faces\.bin.*{message}") as refusal:
            load(tmp_path, program)
        assert tracemalloc.get_traced_memory()[1] < 3 * 10**7 + 8 * len(program)
    finally:
        tracemalloc.stop()
    assert len(str(refusal.value)) < 500


def test_mutated_files_are_read_or_refused(tmp_path):
    """No other exception, whatever bytes are changed, cut out or doubled."""
    forms = [
        pickle.dumps((images[:4], SAME[:2]), protocol) for images in IMAGE_FORMS.values() for protocol in (0, 2, 5)
    ]
    random = np.random.default_rng(0)
    refused = 0
    for number in range(500):
        content = bytearray(forms[number % len(forms)])
        for _ in range(random.integers(1, 4)):
            # The instructions between the images are what matters, and they are few.
            place = int(random.integers(len(content)) if number % 2 else min(random.geometric(0.01), len(content) - 1))
            content[place : place + int(random.integers(0, 3))] = random.bytes(int(random.integers(0, 3)))
        try:
            load(tmp_path, bytes(content))
        except DataError:
            refused += 1
    assert 50 < refused < 500


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_refused_with_its_name(tmp_path, kept):
    content = pickle.dumps((IMAGES, SAME))
    with pytest.raises(DataError, match=r"faces\.bin is not an InsightFace \.bin file, or it is damaged"):
        load(tmp_path, content[: int(kept * len(content))])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ((IMAGES, SAME, 3), "expected"),
        ((IMAGES[:-1], SAME), "39 images for 20 pairs"),
        (([], []), "0 images for 0 pairs"),
        ((IMAGES, [1] * 20), "truth values"),
        (([3] * 40, SAME), "holds int, expected encoded images"),
        ([IMAGES, 3], "contains list and int"),
        (IMAGES, "contains a list"),
    ],
)
def test_other_contents_are_refused_with_what_was_expected(tmp_path, content, message):
    with pytest.raises(DataError, match=rf"faces\.bin.*: .*{message}"):
        load(tmp_path, pickle.dumps(content))


def test_a_missing_file_and_a_corrupt_image_are_named(tmp_path):
    with pytest.raises(DataError, match=r"missing\.bin: cannot be read"):
        load_bin(tmp_path / "missing.bin")
    pairs = load(tmp_path, pickle.dumps(([IMAGES[0][:100], *IMAGES[1:]], SAME)))
    assert pairs.images.read(1).shape == (40, 40, 3)
    with pytest.raises(CorruptImageError, match=r"faces\.bin image 0: .*truncated"):
        pairs.images.read(0)
