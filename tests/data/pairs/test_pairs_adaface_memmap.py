"""AdaFace's verification sets, written as its own script writes them: numpy.memmap, json, numpy.save."""

import json
import pickle

import numpy as np
import pytest

from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.data.open import open_verification
from facemargin.errors import CorruptImageError, DataError

SAME = np.array([True, False, True, True])


@pytest.fixture(scope="module")
def pictures():
    """Eight faces, each channel made different."""
    faces = EmbeddedFaces([1])
    shifts = np.array([0, 20, 40], dtype=np.uint8)
    return [faces.read(index) // 2 + shifts for index in range(8)]


@pytest.fixture
def folder(tmp_path, pictures):
    (tmp_path / "agedb" / "memfile").mkdir(parents=True)
    normalized = np.stack([(image[:, :, ::-1].transpose(2, 0, 1) / np.float32(255) - 0.5) / 0.5 for image in pictures])
    write_memmap(tmp_path / "agedb", normalized.astype(np.float32))
    np.save(tmp_path / "agedb_list.npy", SAME)
    return tmp_path / "agedb"


def write_memmap(folder, array, **conf):
    path = folder / "memfile" / "mem_file.dat"
    path.with_suffix(".dat.conf").write_text(json.dumps({"shape": array.shape, "dtype": str(array.dtype)} | conf))
    memory = np.memmap(path, mode="w+", shape=array.shape, dtype=array.dtype)
    memory[:] = array
    memory.flush()


def test_pixels_are_those_before_normalisation_in_rgb(folder, pictures):
    pairs = open_verification(folder)
    assert len(pairs) == 4 and len(pairs.images) == 8 and pairs.name == "agedb"
    for index, picture in enumerate(pictures):
        image = pairs.images.read(index)
        assert image.dtype == np.uint8 and image.flags.c_contiguous
        np.testing.assert_array_equal(image, picture)
    np.testing.assert_array_equal(pairs.same_K, SAME)
    np.testing.assert_array_equal([pairs.first_K, pairs.second_K], [[0, 2, 4, 6], [1, 3, 5, 7]])
    np.testing.assert_array_equal(pairs.folds_K, [0, 1, 2, 3])


def test_images_are_read_in_workers(folder, pictures):
    images = pickle.loads(pickle.dumps(open_verification(folder).images))
    np.testing.assert_array_equal(images.read(5), pictures[5])


def test_numbers_of_the_truth_values(folder):
    np.save(folder.parent / "agedb_list.npy", SAME.astype(np.int64))
    np.testing.assert_array_equal(open_verification(folder).same_K, SAME)


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"dtype": "float64"}, "dtype 'float64', expected float32"),
        ({"dtype": ["float32"]}, "expected float32"),
        ({"shape": [8, 3, 92]}, r"shape \[8, 3, 92\], expected \(images, 3, height, width\)"),
        ({"shape": [8, 92, 92, 3]}, "expected"),
        ({"shape": [8, 3, 92, 92.0]}, "expected"),
        ({"shape": [8, 3, 92, True]}, "expected"),
        ({"shape": [-8, 3, 92, 92]}, "expected"),
        ({"shape": [1, 3, 10**6, 10**6]}, "expected"),
        ({"shape": [9, 3, 92, 92]}, "bytes, but the shape .* in mem_file.dat.conf needs .* belongs to another set"),
        ({"shape": [2**60, 3, 92, 92]}, "bytes, but"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(folder, conf, message):
    path = folder / "memfile" / "mem_file.dat.conf"
    path.write_text(json.dumps(json.loads(path.read_text()) | conf))
    with pytest.raises(DataError, match=rf"mem_file\.dat.*{message}"):
        open_verification(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 4000, "null", '{"shape": "dtype"}'])
def test_other_descriptions_are_refused(folder, text):
    (folder / "memfile" / "mem_file.dat.conf").write_text(text)
    with pytest.raises(DataError, match=r"mem_file\.dat\.conf: .*expected"):
        open_verification(folder)


def test_missing_parts_are_named(folder):
    (folder.parent / "agedb_list.npy").rename(folder.parent / "elsewhere.npy")
    with pytest.raises(DataError, match=r"agedb_list\.npy: cannot be read"):
        open_verification(folder)
    (folder / "memfile" / "mem_file.dat.conf").unlink()
    with pytest.raises(DataError, match=r"mem_file\.dat\.conf: cannot be read"):
        open_verification(folder)


class Calls:
    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("plain", [False, True])
def test_truth_values_are_never_unpickled(folder, plain):
    path, victim = folder.parent / "agedb_list.npy", folder.parent / "victim"
    if plain:
        path.write_bytes(pickle.dumps(Calls(victim)))
    else:
        np.save(path, np.array([Calls(victim)] * 4, dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"agedb_list\.npy .*contains a pickle, .* Save it again"):
        open_verification(folder)
    assert not victim.exists()


@pytest.mark.parametrize(
    ("same", "message"),
    [
        (np.array([0, 1, 2, 0]), "values other than 0 and 1"),
        (np.ones((2, 2), dtype=bool), "one dimension"),
        (np.ones(4), "truth values in an array of one dimension"),
        (np.ones(3, dtype=bool), "8 images for 3 pairs"),
    ],
)
def test_other_truth_values_are_refused(folder, same, message):
    np.save(folder.parent / "agedb_list.npy", same)
    with pytest.raises(DataError, match=message):
        open_verification(folder)


def test_a_header_that_claims_too_much_is_refused(folder):
    path = folder.parent / "agedb_list.npy"
    path.write_bytes(path.read_bytes().replace(b"(4,), }", b"(4" + b"0" * 12 + b",), }")[:200])
    with pytest.raises(DataError, match=r"agedb_list\.npy"):
        open_verification(folder)


@pytest.mark.parametrize("value", [np.nan, 255.0, -2.0])
def test_values_that_are_not_normalised_are_corrupt_images(folder, value):
    path = folder / "memfile" / "mem_file.dat"
    np.memmap(path, mode="r+", shape=(8, 3, 92, 92), dtype="float32")[2, 1, 5, 5] = value
    images = open_verification(folder).images
    with pytest.raises(CorruptImageError, match=r"mem_file\.dat image 2: values from .* expected −1 to 1"):
        images.read(2)
    assert images.read(3).shape == (92, 92, 3)
