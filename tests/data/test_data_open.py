"""Choosing the reader by what the user names."""

import pickle
import tarfile

import numpy as np
import pytest

from facemargin.data.conversion import convert
from facemargin.data.formats.data_format import FORMATS
from facemargin.data.formats.folder import FolderImages
from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.data.formats.recordio import RecordIOImages
from facemargin.data.open import open_images, open_verification
from facemargin.data.pairs.pair_format import PAIR_FORMATS, register_pair_format
from facemargin.data.writers import WRITERS
from facemargin.errors import DataError
from tests.data.conversion_progress import no_progress
from tests.data.recordio_writer import insightface_payloads, write_records
from tests.data.sample_images import encode, smooth_image, write_people


@pytest.mark.parametrize(
    ("name", "people"),
    [
        ("orl", range(1, 41)),
        ("orl:1-30", range(1, 31)),
        ("orl:7", [7]),
        ("orl:1-3,9,20-21", [1, 2, 3, 9, 20, 21]),
    ],
)
def test_the_embedded_faces_by_name(name, people):
    faces = open_images(name)
    assert isinstance(faces, EmbeddedFaces) and faces.identity_names == [f"s{person}" for person in people]
    pairs = open_verification(name)
    assert pairs.identity_names == faces.identity_names and len(pairs) == len(faces) * (len(faces) - 1) // 2


@pytest.mark.parametrize("name", ["orl:", "orl:a", "orl:1-", "orl:1--3", "ORL", "orl:1-3 "])
def test_misspelt_names_are_paths_that_do_not_exist(name):
    with pytest.raises(DataError, match=r"does not exist; expected a path, or orl or orl:1-30"):
        open_images(name)


@pytest.mark.parametrize("name", ["orl:0-3", "orl:39-41", "orl:1-3,2", "orl:5-3"])
def test_people_who_do_not_exist(name):
    with pytest.raises(DataError, match="people 1 to 40"):
        open_verification(name)


def test_paths(tmp_path):
    write_people(tmp_path / "people", [1, 1])
    rec = write_records(tmp_path / "records", insightface_payloads([[encode(smooth_image(0))]]))
    assert isinstance(open_images(str(tmp_path / "people")), FolderImages)
    assert isinstance(open_images(tmp_path / "records"), RecordIOImages)
    assert isinstance(open_images(str(rec)), RecordIOImages)


@pytest.mark.parametrize("name", ["list", "webdataset", "parquet", "folder", "recordio"])
def test_every_format_by_its_folder_and_by_its_file(tmp_path, name):
    write_people(tmp_path / "people", [2, 1])
    convert(open_images(tmp_path / "people"), tmp_path / name, name, no_progress)
    patterns = {
        "list": "list.txt",
        "webdataset": "train-{000000..000000}.tar",
        "parquet": "train-*.parquet",
        "folder": "",
        "recordio": "train.rec",
    }
    for location in (tmp_path / name, f"{tmp_path}/{name}/{patterns[name]}"):
        faces = open_images(location)
        assert faces.labels.tolist() == [0, 0, 1] and faces.identity_names == ["person_00", "person_01"]
        assert faces.has_names and str(tmp_path / name) in faces.name


def test_the_paths_of_a_list_relative_to_another_folder(tmp_path):
    write_people(tmp_path / "people", [1, 1])
    (tmp_path / "faces.txt").write_text("person_00/0.png Ann\nperson_01/0.png Bob\n")
    np.testing.assert_array_equal(open_images(tmp_path / "faces.txt", tmp_path / "people").read(1), smooth_image(100))


def test_verification_paths(tmp_path):
    images = [encode(smooth_image(seed)) for seed in range(4)]
    (tmp_path / "pairs.bin").write_bytes(pickle.dumps((images, [True, False])))
    assert len(open_verification(tmp_path / "pairs.bin")) == 2
    write_people(tmp_path / "images", [2, 1], ".jpg")
    for person, name, count in (("person_00", "Ann", 2), ("person_01", "Bob", 1)):
        folder = (tmp_path / "images" / person).rename(tmp_path / "images" / name)
        for number in range(count):
            (folder / f"{number}.jpg").rename(folder / f"{name}_{number + 1:04d}.jpg")
    (tmp_path / "pairs.txt").write_text("1\nAnn 1 2\nAnn 1 Bob 1\n")
    assert len(open_verification(str(tmp_path))) == 2


@pytest.mark.parametrize("opener", [open_images, open_verification])
def test_what_is_not_understood_lists_what_is(tmp_path, opener):
    (tmp_path / "faces.zip").write_bytes(b"")
    with pytest.raises(DataError, match=r"faces\.zip holds no .* understood are: orl, "):
        opener(tmp_path / "faces.zip")


def test_folders_beside_what_is_read_are_said(tmp_path, caplog):
    write_people(tmp_path / "faces", [2, 1])
    with tarfile.open(tmp_path / "faces.tar", "w") as archive:
        archive.add(tmp_path / "faces", "faces")
    assert len(open_images(tmp_path / "faces")) == 3 and not caplog.text
    (tmp_path / "faces.tar").rename(tmp_path / "faces" / "faces.tar")
    assert open_images(tmp_path / "faces").identity_names == ["person_00", "person_01"]
    assert "folders of images that lie beside it are not: 2 (person_00, person_01)" in caplog.text


def test_what_can_be_written_can_be_read_and_has_words():
    assert set(WRITERS.names()) <= set(FORMATS.names())
    assert all(FORMATS.description(name) for name in FORMATS)
    assert all(WRITERS.description(name) for name in WRITERS)


def test_the_first_format_that_fits_opens(tmp_path):
    """A folder that could be of several formats is of the one that is told with the least doubt."""
    write_people(tmp_path, [1, 1])
    found = [type(open_images(tmp_path)).__name__]
    convert(open_images(tmp_path), tmp_path / "others" / "parquet", "parquet", no_progress)
    convert(open_images(tmp_path), tmp_path / "others" / "webdataset", "webdataset", no_progress)
    convert(open_images(tmp_path), tmp_path / "others" / "recordio", "recordio", no_progress)
    for name in ("parquet/train-00000.parquet", "webdataset/train-000000.tar"):
        (tmp_path / "others" / name).rename(tmp_path / name.rpartition("/")[2])
        found.append(type(open_images(tmp_path)).__name__)
    (tmp_path / "list.txt").write_text("person_00/0.png Ann\nperson_01/0.png Bob\n")
    found.append(type(open_images(tmp_path)).__name__)
    for name in ("train.rec", "train.idx", "property"):
        (tmp_path / "others" / "recordio" / name).rename(tmp_path / name)
    found.append(type(open_images(tmp_path)).__name__)
    assert found == ["FolderImages", "ParquetImages", "ShardImages", "ListedImages", "RecordIOImages"]


def test_formats_of_pairs_are_asked_in_their_order_and_named_where_none_fits(tmp_path, monkeypatch):
    order = {name: PAIR_FORMATS[name].order for name in PAIR_FORMATS.names()}
    assert sorted(order, key=order.get) == ["orl", "bin", "memmap", "shards", "lfw", "list"]
    with pytest.raises(DataError) as error:
        open_verification(tmp_path)
    assert all(PAIR_FORMATS.description(name) in str(error.value) for name in order)

    monkeypatch.setattr(PAIR_FORMATS, "_entries", dict(PAIR_FORMATS._entries))
    monkeypatch.setattr(PAIR_FORMATS, "_descriptions", dict(PAIR_FORMATS._descriptions))

    @register_pair_format("toy", "a folder with pairs.toy")
    def open_toy(at):
        people = at.path / "pairs.toy"
        return open_verification(people.read_text()) if people.is_file() else None

    (tmp_path / "pairs.toy").write_text("orl:1-2")
    assert len(open_verification(tmp_path)) == 190
