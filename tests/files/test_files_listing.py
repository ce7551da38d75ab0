"""What systems leave in folders is nobody, for every reader of folders."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facemargin.data.formats.folder import FolderImages
from facemargin.data.formats.named_images import NamedImages
from facemargin.data.open import open_images
from facemargin.data.pairs.lfw import load_lfw_pairs
from facemargin.data.pairs.named_sets import find_named_set
from facemargin.data.writers.folder_writer import folder_names
from facemargin.errors import DataError
from facemargin.evaluation.protocols.tinyface import folder_entries
from facemargin.files.listing import is_image_name, is_system_name
from tests.data.sample_images import encode, smooth_image, write_people
from tests.data.system_files import FOLDERS, leave_system_files


@pytest.mark.parametrize("name", [*FOLDERS, ".DS_Store", "._00.png", "thumbs.DB", "Icon\r"])
def test_system_names(name):
    assert is_system_name(name) and not is_image_name(name)


@pytest.mark.parametrize("name", ["Ann", "@ann", "lost", "found", "System", "_", "#1", "$", "Dr. No", "a.b", "eaDir"])
def test_names_of_people(name):
    assert not is_system_name(name) and is_image_name(f"{name}.JPG")


def test_a_folder_of_people(tmp_path):
    write_people(tmp_path, [2, 1])
    leave_system_files(tmp_path, tmp_path / "person_00" / "0.png")
    leave_system_files(tmp_path / "person_01", tmp_path / "person_00" / "1.png")
    faces = FolderImages(tmp_path)
    assert faces.identity_names == ["person_00", "person_01"]
    assert [faces.describe(index)[-15:] for index in range(len(faces))] == [
        "person_00/0.png",
        "person_00/1.png",
        "person_01/0.png",
    ]


def test_a_folder_whose_own_name_begins_with_a_dot_is_read_where_it_is_named(tmp_path):
    write_people(tmp_path / ".faces", [1, 1])
    assert len(FolderImages(tmp_path / ".faces")) == len(NamedImages([tmp_path / ".faces"])) == 2
    with pytest.raises(DataError, match="has no folders with images"):
        FolderImages(tmp_path)


def test_images_at_any_depth(tmp_path):
    write_people(tmp_path, [1, 1])
    leave_system_files(tmp_path / "person_00", tmp_path / "person_01" / "0.png")
    assert [name.partition("/")[2] for name in NamedImages([tmp_path]).names] == ["person_00/0.png", "person_01/0.png"]
    hidden = tmp_path / "person_00" / ".0.png"  # named by the user: looked at
    assert NamedImages([hidden]).paths == [hidden]


def test_lfw(tmp_path):
    for name, number in (("Ann", 1), ("Ann", 2), ("Bob", 1)):
        path = tmp_path / name / f"{name}_{number:04d}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode(smooth_image(number), ".png"))
        leave = path.with_name(f"._{path.name}")
        leave.write_bytes(b"\0\5\26\7")
    (tmp_path / "pairs.txt").write_text("1\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\n")
    pairs = load_lfw_pairs(tmp_path / "pairs.txt", tmp_path)
    assert {pairs.images.read(index).shape for index in range(3)} == {(40, 40, 3)}


def test_training_sets_that_sets_are_looked_for_in(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEMARGIN_DATA", str(tmp_path))
    for folder in (".Trash-1000", "ms1mv3"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "train.rec").write_bytes(b"")
    (tmp_path / ".Trash-1000" / "lfw.bin").write_bytes(b"old")
    with pytest.raises(DataError, match="lfw was not found in"):
        find_named_set("lfw", "lfw")
    (tmp_path / "ms1mv3" / "lfw.bin").write_bytes(b"new")
    assert find_named_set("lfw", "lfw").parent.name == "ms1mv3"


def test_distractors_of_a_protocol(tmp_path):
    write_people(tmp_path, [2])
    leave_system_files(tmp_path / "person_00", tmp_path / "person_00" / "0.png")
    assert [one.image for one in folder_entries(tmp_path / "person_00")] == ["person_00/0.png", "person_00/1.png"]


@pytest.mark.parametrize("location", ["", "*.parquet"])
def test_parquet_files(tmp_path, location):
    table = pa.table({"image": [encode(smooth_image(0))] * 2, "label": [0, 1]})
    pq.write_table(table, tmp_path / "train.parquet")
    (tmp_path / "._train.parquet").write_bytes(b"\0\5\26\7")
    assert len(open_images(tmp_path / location)) == 2


def test_people_who_are_called_as_a_system_folder_are_written_under_another_name(tmp_path):
    names = ["lost+found", "lost+found_", "@eaDir", ".hidden", "Ann"]
    written = folder_names(names)
    assert len(set(written)) == 5 and written[-1] == "Ann"
    for name in written:
        write_people(tmp_path / "one", [1])
        shutil.move(tmp_path / "one" / "person_00", tmp_path / "all" / name)
        shutil.rmtree(tmp_path / "one")
    assert FolderImages(tmp_path / "all").num_identities == 5
