import logging
import zipfile

import numpy as np
import pytest

from facemargin.data.source import ImageSource
from facemargin.errors import DataError
from facemargin.inference.embeddings_file import EmbeddingsFile

PATHS = ["ann/1.jpg", "ann/2.jpg", "bob/1.jpg"]
FEATURES_ND = np.array([[3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]], np.float32)


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
    embeddings = file.embed(Files("/data/images/bob/1.jpg", "ann/1.jpg", "/x/ann/2.jpg", "bob/1.jpg"))
    np.testing.assert_allclose(embeddings.vectors, [[-1, 0], [0.6, 0.8], [0, 0], [-1, 0]], atol=1e-7)
    np.testing.assert_allclose(embeddings.norms, [2, 5, 0, 2])
    np.testing.assert_array_equal(embeddings.quality, embeddings.norms)


def test_a_stored_quality_is_the_quality(tmp_path):
    file = EmbeddingsFile(write(tmp_path / "e.npz", quality=np.array([0.5, -1.5, 0.25])))
    embeddings = file.embed(Files("bob/1.jpg", "ann/2.jpg"))
    np.testing.assert_array_equal(embeddings.quality, np.array([0.25, -1.5], np.float32))
    np.testing.assert_array_equal(embeddings.norms, [2, 0])
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
    message = r"the embedding of ann/2\.jpg has the length 3 beside a norm of 7; expected unit vectors"
    with pytest.raises(DataError, match=message):
        EmbeddingsFile(write(tmp_path / "e.npz", embeddings=features, norms=np.array([5, 7, 2])))
    with pytest.raises(DataError, match=r"3 paths and norms of shape \(2,\) do not fit"):
        EmbeddingsFile(write(tmp_path / "e.npz", embeddings=features, norms=np.array([5, 7])))
    with pytest.raises(DataError, match=r"the norm of ann/2\.jpg is not finite"):
        EmbeddingsFile(write(tmp_path / "e.npz", embeddings=features / [[5], [3], [2]], norms=np.array([5, np.nan, 2])))


def test_whole_paths_are_found_from_wherever_one_stands(tmp_path, monkeypatch):
    paths = [str(tmp_path / "ann" / "1.jpg"), "people/ann/2.jpg", "../bob/1.jpg"]
    file = EmbeddingsFile(write(tmp_path / "e.npz", paths=np.array(paths)))
    norms = file.embed(Files(paths[0], "/data/people/ann/2.jpg", "../bob/1.jpg", "/data/x/../bob/1.jpg")).norms
    np.testing.assert_array_equal(norms, [5, 0, 2, 2])
    (tmp_path / "people").mkdir()
    monkeypatch.chdir(tmp_path / "people")
    np.testing.assert_array_equal(file.embed(Files("ann/2.jpg")).norms, [0])
    with pytest.raises(DataError, match=r"no embedding of ann/1\.jpg"):  # that is people/ann/1.jpg
        file.embed(Files("ann/1.jpg"))


def test_no_images_need_no_embeddings(tmp_path):
    assert len(EmbeddingsFile(write(tmp_path / "e.npz")).embed(Files())) == 0


@pytest.mark.parametrize("name", ["1.jpg", "carl/1.jpg", "ann/1.jpg (degraded)", "xann/1.jpg"])
def test_an_image_that_is_not_there_is_named(tmp_path, name):
    with pytest.raises(DataError) as caught:
        EmbeddingsFile(write(tmp_path / "e.npz")).embed(Files("ann/1.jpg", f"/data/{name}"))
    assert f"e.npz holds no embedding of /data/{name}: none of its" in str(caught.value)


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
        ({"paths": np.array("ann/1.jpg")}, r"1 paths and embeddings of shape \(3, 2\) do not fit"),
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
    with pytest.raises(DataError, match=r"nothing\.npz"):
        EmbeddingsFile(tmp_path / "nothing.npz")
