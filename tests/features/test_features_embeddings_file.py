import logging
import zipfile

import numpy as np
import pytest

from facemargin.data.source import ImageSource
from facemargin.errors import DataError
from facemargin.features.embeddings_file import EmbeddingsFile

PATHS = ["ann/1.jpg", "ann/2.jpg", "bob/1.jpg"]
FEATURES_ND = np.array([[3.0, 4.0], [0.0, 3.0], [-2.0, 0.0]], np.float32)


class Files(ImageSource):
    name = "files"

    def __init__(self, *names):
        self.names = names

    def __len__(self):
        return len(self.names)

    def read(self, index):
        raise AssertionError("embeddings are looked up, images are not read")

    def describe(self, index):
        return self.names[index]


def write(path, **arrays):
    np.savez(path, **{"paths": np.array(PATHS), "embeddings": FEATURES_ND, **arrays})
    return path


def test_images_are_found_by_the_end_of_their_path(tmp_path):
    file = EmbeddingsFile(write(tmp_path / "e.npz"))
    embeddings = file.embed(Files("/data/images/bob/1.jpg", "ann/1.jpg", "/x/ann/2.jpg", "/data/images/bob/1.jpg"))
    np.testing.assert_allclose(embeddings.vectors, [[-1, 0], [0.6, 0.8], [0, 1], [-1, 0]], atol=1e-7)
    np.testing.assert_allclose(embeddings.norms, [2, 5, 3, 2])
    np.testing.assert_array_equal(embeddings.quality, embeddings.norms)


def test_a_stored_quality_is_the_quality(tmp_path):
    file = EmbeddingsFile(write(tmp_path / "e.npz", quality=np.array([0.5, -1.5, 0.25])))
    embeddings = file.embed(Files("bob/1.jpg", "ann/2.jpg"))
    np.testing.assert_array_equal(embeddings.quality, np.array([0.25, -1.5], np.float32))
    np.testing.assert_array_equal(embeddings.norms, [2, 3])
    assert embeddings.quality.dtype == np.float32


def test_norms_stand_beside_unit_vectors(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    unit = np.array([[0.6, 0.8], [0, 1], [-1, 0]], np.float32)
    file = EmbeddingsFile(write(tmp_path / "e.npz", embeddings=unit, norms=np.array([5, 3, 2])))
    embeddings = file.embed(Files("ann/2.jpg", "ann/1.jpg"))
    np.testing.assert_allclose(embeddings.vectors, unit[[1, 0]])
    np.testing.assert_array_equal(embeddings.norms, [3, 5])
    np.testing.assert_array_equal(embeddings.quality, [3, 5])
    assert caplog.messages == []


def test_features_of_earlier_files_are_known_by_their_norms(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    features = np.array([[3, 4], [0, 3], [-2, 0]], np.float16)
    file = EmbeddingsFile(write(tmp_path / "e.npz", embeddings=features, norms=np.array([5, 3, 2])))
    embeddings = file.embed(Files("ann/2.jpg", "ann/1.jpg"))
    np.testing.assert_allclose(embeddings.vectors, [[0, 1], [0.6, 0.8]], rtol=1e-6)
    np.testing.assert_array_equal(embeddings.norms, [3, 5])
    (message,) = caplog.messages
    assert "as in older files" in message


def test_norms_that_mean_neither_are_refused(tmp_path):
    features = np.array([[3, 4], [0, 3], [-2, 0]])
    message = r"the embedding of ann/2\.jpg has the length 3, but the stored norm 7; expected unit vectors"
    with pytest.raises(DataError, match=message):
        EmbeddingsFile(write(tmp_path / "e.npz", embeddings=features, norms=np.array([5, 7, 2])))
    with pytest.raises(DataError, match="is -3, expected a positive length; if norms are not known, leave them out"):
        EmbeddingsFile(write(tmp_path / "e.npz", embeddings=features / [[5], [3], [2]], norms=np.array([5, -3, 2])))
    with pytest.raises(DataError, match=r"3 paths and norms of shape \(2,\) do not fit"):
        EmbeddingsFile(write(tmp_path / "e.npz", embeddings=features, norms=np.array([5, 7])))
    with pytest.raises(DataError, match=r"the norm of ann/2\.jpg is not finite"):
        EmbeddingsFile(write(tmp_path / "e.npz", embeddings=features / [[5], [3], [2]], norms=np.array([5, np.nan, 2])))


def test_whole_paths_are_found_from_wherever_one_stands(tmp_path, monkeypatch):
    paths = [str(tmp_path / "ann" / "1.jpg"), "people/ann/2.jpg", "../bob/1.jpg"]
    file = EmbeddingsFile(write(tmp_path / "e.npz", paths=np.array(paths)))
    norms = file.embed(Files(paths[0], "/data/people/ann/2.jpg", "../bob/1.jpg")).norms
    np.testing.assert_array_equal(norms, [5, 3, 2])
    np.testing.assert_array_equal(file.embed(Files("/data/x/../bob/1.jpg")).norms, [2])
    (tmp_path / "people").mkdir()
    monkeypatch.chdir(tmp_path / "people")
    np.testing.assert_array_equal(file.embed(Files("ann/2.jpg")).norms, [3])
    with pytest.raises(DataError, match=r"no embedding of ann/1\.jpg"):  # that is people/ann/1.jpg
        file.embed(Files("ann/1.jpg"))


def test_no_images_need_no_embeddings(tmp_path):
    assert len(EmbeddingsFile(write(tmp_path / "e.npz")).embed(Files())) == 0


@pytest.mark.parametrize("name", ["1.jpg", "carl/1.jpg", "ann/1.jpg (degraded)", "xann/1.jpg"])
def test_an_image_that_is_not_there_is_named(tmp_path, name):
    with pytest.raises(DataError) as caught:
        EmbeddingsFile(write(tmp_path / "e.npz")).embed(Files("ann/1.jpg", f"/data/{name}"))
    assert f"e.npz holds no embedding of /data/{name} (1 of 2 images missing): " in str(caught.value)


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["/mnt/x/ann/1.jpg"], "the most similar of its one path, /mnt/x/ann/1.jpg, begins with /mnt/x, but "
         "that of the image with /data; write paths that are an end of the image's path, such as ann/1.jpg"),
        (["xann/1.jpg"], "xann/1.jpg, begins with xann, but that of the image with /data/ann"),
        (["C:\\faces\\ann\\1.jpg"], "C:\\faces\\ann\\1.jpg, begins with C:/faces, but that of the image with /data;"),
        (["ann/1.png"], "the most similar of its one path, ann/1.png, does not end in .jpg"),
        (["ann/1"], "the most similar of its one path, ann/1, does not end in .jpg"),
        (["ann/2.jpg", "x.jpg"], "none of its 2 paths ends with its name"),
    ],
)  # fmt: skip
def test_an_image_that_is_not_there_is_told_what_comes_nearest(tmp_path, paths, said):
    path = write(tmp_path / "e.npz", paths=np.array(paths), embeddings=np.ones((len(paths), 2)))
    with pytest.raises(DataError) as caught:
        EmbeddingsFile(path).embed(Files("/data/ann/1.jpg"))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "paths",
    [
        np.array([path.encode() for path in PATHS]),
        np.array([path.replace("/", "\\") for path in PATHS]),
        np.array([f"./{path}" for path in PATHS]),
    ],
)
def test_paths_as_other_systems_write_them(tmp_path, paths):
    file = EmbeddingsFile(write(tmp_path / "e.npz", paths=paths))
    np.testing.assert_array_equal(file.embed(Files("/data/bob/1.jpg", "/data/ann/1.jpg")).norms, [2, 5])


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, np.uint16])
def test_numbers_of_any_precision(tmp_path, dtype):
    file = EmbeddingsFile(write(tmp_path / "e.npz", embeddings=np.abs(FEATURES_ND).astype(dtype)))
    np.testing.assert_allclose(file.embed(Files(*PATHS)).vectors, [[0.6, 0.8], [0, 1], [1, 0]], atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e20])
def test_very_short_and_long_vectors_keep_their_direction(tmp_path, scale):
    file = EmbeddingsFile(write(tmp_path / "e.npz", embeddings=FEATURES_ND * np.float32(scale)))
    np.testing.assert_allclose(file.embed(Files(*PATHS)).vectors, [[0.6, 0.8], [0, 1], [-1, 0]], atol=1e-6)


def test_absolute_paths_of_another_machine_agree_from_the_sets_folder_on(tmp_path, caplog):
    images = Files("/data/set/ann/1.jpg", "/data/set/bob/1.jpg")
    images.name = "/data/set"
    path = tmp_path / "e.npz"
    file = EmbeddingsFile(write(path, paths=np.array([f"/mnt/x/set/{one}" for one in PATHS])))
    np.testing.assert_array_equal(file.embed(images).norms, [5, 2])
    assert (
        f"{path}: its paths begin with /mnt/x, but those of the images with /data; they were matched from"
        in caplog.text
    )
    other = EmbeddingsFile(write(path, paths=np.array([f"/mnt/x/other/{one}" for one in PATHS])))
    with pytest.raises(DataError, match="begins with /mnt/x/other, but that of the image with /data/set"):
        other.embed(images)
    two = EmbeddingsFile(write(path, paths=np.array(["/m/set/ann/1.jpg", "/n/set/bob/1.jpg", "x"])))
    with pytest.raises(
        DataError, match="some of its paths begin with /m, others with /n, while those of the images begin with /data"
    ):
        two.embed(images)


def test_names_are_found_in_either_unicode_normal_form(tmp_path):
    composed, decomposed = "Jos\u00e9/1.jpg", "Jose\u0301/1.jpg"
    file = EmbeddingsFile(write(tmp_path / "e.npz", paths=np.array([decomposed, "ann/2.jpg", "bob/1.jpg"])))
    np.testing.assert_allclose(file.embed(Files(f"/data/{composed}")).norms, [5])
    with pytest.raises(DataError, match="the paths of two images"):
        file.embed(Files(composed, decomposed))
    both = EmbeddingsFile(write(tmp_path / "both.npz", paths=np.array([decomposed, composed, "bob/1.jpg"])))
    np.testing.assert_allclose(both.embed(Files(composed, decomposed)).norms, [3, 5])


@pytest.mark.parametrize("paths", [["1.jpg", "2.jpg", "1.jpg"], ["a/1.j", "b/1.jpg", "a\\1.j"], ["a/1", "b", "./a/1"]])
def test_a_path_that_is_there_twice_is_named(tmp_path, paths):
    with pytest.raises(DataError, match=r"1.* occurs 2 times \(first in entries 1 and 3\)"):
        EmbeddingsFile(write(tmp_path / "e.npz", paths=np.array(paths)))


def test_two_images_of_one_path_and_two_paths_of_one_image_are_named(tmp_path):
    file = EmbeddingsFile(write(tmp_path / "e.npz", paths=np.array(["1.jpg", "2.jpg", "3.jpg"])))
    with pytest.raises(
        DataError, match=r"1.jpg is the end of the paths of two images, /data/ann/1.jpg and /data/bob/1.jpg"
    ):
        file.embed(Files("/data/ann/1.jpg", "/data/bob/1.jpg"))
    file = EmbeddingsFile(write(tmp_path / "e.npz", paths=np.array(["1.jpg", "ann/1.jpg", "3.jpg"])))
    with pytest.raises(DataError, match=r"both ann/1.jpg and 1.jpg are the end of /data/ann/1.jpg"):
        file.embed(Files("/data/ann/1.jpg"))
    np.testing.assert_array_equal(file.embed(Files("/data/ann/1.jpg", "/data/1.jpg")).norms, [3, 5])  # each its own


def test_zeros_are_named_and_equal_vectors_are_said(tmp_path, caplog):
    file = EmbeddingsFile(write(tmp_path / "e.npz", embeddings=np.array([[1.0, 2], [0, 0], [1, 2]])))
    with pytest.raises(DataError, match=r"the embedding of /x/ann/2.jpg is all zeros, .* \(1 of 2 images\)"):
        file.embed(Files("/x/ann/1.jpg", "/x/ann/2.jpg"))
    file.embed(Files("/x/ann/1.jpg", "/x/bob/1.jpg"))
    assert "the embeddings of all 2 images are the same" in caplog.text


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"embeddings": FEATURES_ND[:2]}, r"3 paths and embeddings of shape \(2, 2\) do not fit"),
        ({"embeddings": FEATURES_ND[0]}, r"embeddings of shape \(2,\) do not fit"),
        ({"embeddings": np.array([[1, 2], [np.nan, 0], [0, 1]])}, r"the embedding of ann/2\.jpg is not finite"),
        ({"embeddings": np.array([[1, 2], [0, 0], [np.inf, 1]])}, r"the embedding of bob/1\.jpg is not finite"),
        ({"quality": np.ones(2)}, r"3 paths and quality of shape \(2,\) do not fit"),
        ({"quality": np.ones((3, 1))}, r"quality of shape \(3, 1\) do not fit"),
        ({"quality": np.array([1, np.inf, 1])}, r"the quality of ann/2\.jpg is not finite"),
        ({"quality": np.array(["high", "low", "low"])}, "cannot be read as embeddings"),
        ({"embeddings": np.array(PATHS)}, "cannot be read as embeddings"),
        ({"paths": np.array([{"a": 1}, 2, 3], dtype=object)}, "cannot be read as embeddings"),
        ({"embeddings": FEATURES_ND.astype(complex)}, "embeddings are complex128, expected real numbers"),
        ({"embeddings": FEATURES_ND[:, None]}, r"shape \(3, 1, 2\) do not fit; expected \(N, D\)"),
        ({"paths": np.array(PATHS, dtype=object)}, r"Python objects, .* save text with paths.astype\(str\)"),
        ({"paths": np.arange(3)}, "paths are int64, expected text"),
        ({"paths": np.array("ann/1.jpg")}, r"1 path and embeddings of shape \(3, 2\) do not fit"),
        ({"embeddings": np.full((3, 2), 3e38)}, r"the length of the embedding of ann/1\.jpg is not finite"),
    ],
)
def test_values_that_do_not_fit_are_named(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message) as caught:
        EmbeddingsFile(write(tmp_path / "e.npz", **arrays))
    assert "e.npz" in str(caught.value)


def test_files_of_something_else_are_named(tmp_path):
    whole = write(tmp_path / "e.npz").read_bytes()
    np.save(tmp_path / "array.npy", FEATURES_ND)
    np.savez(tmp_path / "other.npz", x=FEATURES_ND)
    damaged = bytearray(whole)
    damaged[len(whole) // 3] ^= 0xFF
    contents = {"half": whole[: len(whole) // 2], "empty": b"", "text": b"hello", "flipped": bytes(damaged)}
    contents["array"] = (tmp_path / "array.npy").read_bytes()
    contents["other"] = (tmp_path / "other.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "bytes.npz", "w") as archive:
        for name in ("paths.npy", "embeddings.npy"):
            archive.writestr(name, b"no array")
    contents["bytes"] = (tmp_path / "bytes.npz").read_bytes()
    for name, content in contents.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}\.npz cannot be read as embeddings"):
            EmbeddingsFile(path)
    np.savez(tmp_path / "named.npz", filenames=np.array(PATHS), features=FEATURES_ND)
    with pytest.raises(DataError, match="it has the arrays filenames, features"):
        EmbeddingsFile(tmp_path / "named.npz")
    with pytest.raises(DataError, match=r"nothing\.npz"):
        EmbeddingsFile(tmp_path / "nothing.npz")
