"""What folders hold and no reader takes is said, counted, once."""

import logging

import pytest

from facemargin.data.formats import passed_over
from facemargin.data.formats.folder import FolderImages
from facemargin.data.formats.named_images import NamedImages
from facemargin.data.images import heic
from facemargin.files.listing import IMAGE_SUFFIXES
from tests.data.image_kinds import files, picture
from tests.data.sample_images import encode, smooth_image, write_people
from tests.data.system_files import leave_system_files

FILES = files(picture())


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.WARNING)
    return caplog


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_is_found_in_folders(tmp_path, kind, said):
    for person in ("Ann", "Bob"):
        (tmp_path / person).mkdir()
        (tmp_path / person / f"1{kind}").write_bytes(FILES[kind][1])
    faces = FolderImages(tmp_path)
    assert faces.identity_names == ["Ann", "Bob"] and faces.read(1).shape == picture().shape
    assert len(NamedImages([tmp_path])) == 2
    assert said.messages == []


def test_what_is_passed_over_is_counted_by_ending(tmp_path, said):
    write_people(tmp_path, [1, 1])
    for name in ("a.txt", "b.TXT", "c.raw", "README"):
        (tmp_path / "person_01" / name).write_text("x")
    FolderImages(tmp_path)
    NamedImages([tmp_path])
    expected = f"{tmp_path}: passed over: 4 files (2 .txt, 1 without an ending, 1 .raw)"
    assert said.messages == [expected] * 2


def test_one_of_everything(tmp_path, said):
    write_people(tmp_path, [1])
    (tmp_path / "person_00" / "a.txt").write_text("x")
    (tmp_path / "Bob").mkdir()
    (tmp_path / "Bob" / "film.mov").write_bytes(b"x")
    (tmp_path / "loose.jpg").write_bytes(encode(smooth_image(0)))
    (tmp_path / "notes.md").write_text("beside the people: nothing that would be a person's")
    (tmp_path / "person_00" / "old").mkdir()
    (tmp_path / "@eaDir").mkdir()
    (tmp_path / "@eaDir" / "thumb.jpg").write_bytes(b"x")
    assert FolderImages(tmp_path).identity_names == ["person_00"]
    assert said.messages == [
        f"{tmp_path}: passed over: 2 files (1 .mov, 1 .txt); "
        "1 folder without an image, not taken for a person (Bob); "
        "1 image beside the people's folders, which is nobody's (loose.jpg); "
        "1 folder inside of people's folders (person_00/old); "
        "1 folder of the system with images in it (@eaDir)"
    ]


def test_many_of_everything(tmp_path, said):
    write_people(tmp_path, [1, 1])
    for number in range(7):
        (tmp_path / f"empty{number}").mkdir()
        (tmp_path / f"{number}.png").write_bytes(b"x")
        (tmp_path / "person_00" / f"x.{number}").write_bytes(b"x")
        (tmp_path / "person_00" / f"inside{number}").mkdir()
        (tmp_path / f".hidden{number}").mkdir()
        (tmp_path / f".hidden{number}" / "1.png").write_bytes(b"x")
    FolderImages(tmp_path)
    shown = [", ".join(pattern.format(n) for n in range(5)) + ", …" for pattern in
             ("empty{}", "{}.png", "person_00/inside{}", ".hidden{}")]  # fmt: skip
    assert said.messages == [
        f"{tmp_path}: passed over: 7 files (1 .0, 1 .1, 1 .2, 1 .3, 1 .4, 2 others); "
        f"7 folders without an image, not taken for people ({shown[0]}); "
        f"7 images beside the people's folders, which are nobody's ({shown[1]}); "
        f"7 folders inside of people's folders ({shown[2]}); "
        f"7 folders of the system with images in them ({shown[3]})"
    ]


def test_nothing_is_said_of_what_systems_leave(tmp_path, said):
    write_people(tmp_path, [1, 1])
    for folder in (tmp_path, tmp_path / "person_00"):
        for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "._0.png"):
            (folder / name).write_bytes(b"x")
    (tmp_path / "lost+found").mkdir()
    FolderImages(tmp_path)
    NamedImages([tmp_path])
    assert said.messages == []


def test_hidden_copies_are_named_among_people_only(tmp_path, said):
    write_people(tmp_path, [1, 1])
    leave_system_files(tmp_path, tmp_path / "person_00" / "0.png")
    NamedImages([tmp_path])
    assert said.messages == []
    FolderImages(tmp_path)
    (message,) = said.messages
    assert message.startswith(f"{tmp_path}: passed over: 10 folders of the system with images in them (#recycle, ")


def test_heic_without_the_extra(tmp_path, said, monkeypatch):
    monkeypatch.setattr(heic, "reads_heic", lambda: False)
    monkeypatch.setattr(passed_over, "reads_heic", lambda: False)
    (tmp_path / "Ann").mkdir()
    for number in range(2):
        (tmp_path / "Ann" / f"{number}.heic").write_bytes(FILES[".heic"][1])
    (tmp_path / "Ann" / "jpeg.HEIC").write_bytes(FILES[".jpe"][1])  # as telephones send them
    faces = FolderImages(tmp_path)
    assert len(faces) == 3 and faces.read(2).shape == picture().shape
    assert said.messages == [
        f'{tmp_path}: 2 HEIC files cannot be read: HEIC is read with pillow-heif: pip install "facemargin[heif]"'
    ]


def test_suffixes_are_all_tried():
    tried = {suffix.lower() for suffix in FILES} | {".jpg", ".jpeg", ".bmp", ".pgm", ".pbm"}
    assert tried == IMAGE_SUFFIXES
