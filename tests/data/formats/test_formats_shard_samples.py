"""Shards as people make them: names with dots, labels elsewhere, archives of folders, what macOS puts beside."""

import gzip
import io
import json
import tarfile

import pytest

from facemargin.data.open import open_images
from facemargin.errors import DataError
from tests.data.sample_images import encode, smooth_image

IMAGES = {
    (person, number): encode(smooth_image(10 * person + number, 12, 12)) for person in (1, 2) for number in range(3)
}


def write_tar(path, members):
    """`members` are (name, content); names may repeat."""
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def samples(form, *labels):
    """Image files, and label files (suffix, content), both with their place filled in."""
    for (person, number), image in IMAGES.items():
        place = {"p": person, "n": number}
        yield form.format(**place), image
        for suffix, content in labels:
            yield form.format(**place).rpartition(".")[0] + suffix, content(person)


def digits(person):
    return str(person).encode()


def assert_holds_all(faces, names=("1", "2"), has_names=False):
    assert faces.identity_names == list(names) and faces.has_names == has_names
    found = sorted((int(faces.labels[index]) + 1, faces.read_encoded(index)) for index in range(len(faces)))
    assert found == sorted((person, image) for (person, _), image in IMAGES.items())


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("form", "warning"),
    [
        ("{p}_{n}.jpg", None),
        ("p{p}/v1.{n}.jpg", "images with dots in their names"),
        ("{p}.{n}.jpg", "images with dots in their names"),
        ("{p}.{n}.x.y.JPG", "images with dots in their names"),
        ("v1.2/{p}_{n}.jpg", None),
        ("./{p}_{n}.jpg", None),
        ("./a/../{p}_{n}.jpg", None),
    ],
)
def test_names_of_samples(tmp_path, caplog, form, warning, compressed):
    path = write_tar(tmp_path / "a.tar", samples(form, (".cls", digits)))
    if compressed:
        (tmp_path / "a.tar.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "a.tar.gz"
    assert_holds_all(open_images(path))
    assert (
        f"{warning}, read as separate samples (WebDataset itself cuts names at the first dot): 6 (" in caplog.text
        if warning
        else not caplog.text
    )


@pytest.mark.parametrize(
    ("suffix", "content", "warning"),
    [
        (".cls", lambda person: f" {person}.0\n".encode(), None),
        (".CLS", digits, None),
        (".json", lambda person: json.dumps({"key": "x", "label": person}).encode(), "but in other files: json (6)"),
        (".json", lambda person: json.dumps({"identity": f"{person}"}).encode(), "but in other files: json (6)"),
        (".json", digits, "but in other files: json (6)"),
        (".txt", digits, "but in other files: txt (6)"),
    ],
)
def test_labels(tmp_path, caplog, suffix, content, warning):
    assert_holds_all(open_images(write_tar(tmp_path / "a.tar", samples("{p}_{n}.jpg", (suffix, content)))))
    assert warning in caplog.text if warning else not caplog.text


def test_labels_that_are_names(tmp_path):
    members = samples("{p}_{n}.jpg", (".cls", lambda person: f"Zoë {person}_1".encode()))
    assert_holds_all(open_images(write_tar(tmp_path / "a.tar", members)), ["Zoë 1_1", "Zoë 2_1"], True)


def test_a_cls_file_counts_before_others(tmp_path, caplog):
    members = samples("{p}_{n}.jpg", (".txt", lambda _: b"7"), (".json", lambda _: b'{"label": 7}'), (".cls", digits))
    assert_holds_all(open_images(write_tar(tmp_path / "a.tar", members)))
    assert not caplog.text


def test_captions_and_other_json_are_no_labels(tmp_path):
    captions = (".txt", lambda _: b"a face"), (".json", lambda _: b'{"caption": "a face", "label": true, "id": 3}')
    path = write_tar(tmp_path / "a.tar", samples("{p}_{n}.jpg", *captions))
    with pytest.raises(DataError, match=r"the images have no labels: .* in a cls file .* one folder per person"):
        open_images(path)


@pytest.mark.parametrize("label", ["-1", "-1.0", "-5"])
def test_a_label_below_zero_is_no_label(tmp_path, caplog, label):
    extra = [("x.jpg", IMAGES[1, 0]), ("x.cls", label.encode())]
    faces = open_images(write_tar(tmp_path / "a.tar", [*extra, *samples("{p}_{n}.jpg", (".cls", digits))]))
    assert_holds_all(faces)
    assert faces.num_unlabeled == 1 and "1 of 7" in caplog.text


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("faces/p{p}/{n}.jpg", ["p1", "p2"]),
        ("p{p}/{n}.jpg", ["p1", "p2"]),
        ("./p{p}/{n}.JPG", ["p1", "p2"]),
        ("a/{p}/{n}.v.jpg", ["1", "2"]),
        ("a/{p}/x/{n}.jpg", ["1/x", "2/x"]),
    ],
)
def test_an_archive_of_a_folder_of_people(tmp_path, caplog, form, names):
    found = open_images(
        write_tar(tmp_path / "a.tar", [*samples(form), ("faces/list.txt", b"x"), ("faces/.DS_Store", b"")])
    )
    assert_holds_all(found, names, names != ["1", "2"])
    assert "no image has a label file, so the folders in it are read as people" in caplog.text


def test_what_systems_put_beside_is_passed_over(tmp_path):
    beside = (".cls", digits)
    members = [
        *samples("./._{p}_{n}.jpg", beside), *samples("__MACOSX/{p}_{n}.jpg", beside),
        *samples("@eaDir/{p}{n}.jpg", beside), *samples("./{p}_{n}.jpg", beside), (".DS_Store", b"x"),
    ]  # fmt: skip
    assert_holds_all(open_images(write_tar(tmp_path / "a.tar", members)))


def test_what_is_not_read_is_counted_and_named(tmp_path, caplog):
    members = [
        *samples("{p}_{n}.jpg", (".cls", digits)),
        ("1_0.jpg", IMAGES[2, 0]), ("1_0.JPG", IMAGES[2, 0]), ("1_0.png", IMAGES[2, 0]), ("1_1.seg.png", IMAGES[2, 0]),
        ("x.cls", b"3"), ("y.heic_", b""), ("y.cls", b"3"),
    ]  # fmt: skip
    assert_holds_all(open_images(write_tar(tmp_path / "a.tar", members)))
    assert "members with the name of an earlier member, which are not read: 2 (" in caplog.text
    assert "further images of a sample, of which only the first is read: 2 (" in caplog.text
    assert "samples without an image, which are left out: 3 (cls (2), heic_ (1))" in caplog.text


def test_numbers_of_two_folders_with_different_names_are_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_tar(tmp_path / name / "x.tar", samples("{p}_{n}.jpg", (".cls", digits)))
        (tmp_path / name / "identities.txt").write_text(f"{name}0\n{name}1\n{name}2\n")
    location = f"{tmp_path}/a/x.tar::{tmp_path}/b/x.tar"
    with pytest.raises(
        DataError, match=r"the file identities\.txt differs between .* the same number would mean two people"
    ):
        open_images(location)
    (tmp_path / "b" / "identities.txt").write_bytes((tmp_path / "a" / "identities.txt").read_bytes())
    assert open_images(location).identity_names == ["a1", "a2"]
