"""InsightFace RecordIO sets, whole, old, split, damaged, and read from several processes."""

import logging
import multiprocessing
import os
import pickle
import struct

import numpy as np
import pytest

from facemargin.data.formats.recordio import RecordIOImages
from facemargin.errors import CorruptImageError, DataError
from tests.data.recordio_writer import MAGIC_BYTES, insightface_payloads, payload, write_records
from tests.data.sample_images import encode, smooth_image

PEOPLE = [
    [encode(smooth_image(10 * person + number)) for number in range(count)] for person, count in enumerate([3, 1, 2])
]
LABELS = [0, 0, 0, 1, 2, 2]


def assert_holds_the_people(faces: RecordIOImages) -> None:
    np.testing.assert_array_equal(faces.labels, LABELS)
    expected = [smooth_image(10 * person + number) for person, count in enumerate([3, 1, 2]) for number in range(count)]
    for index, image in enumerate(expected):
        assert np.abs(faces.read(index).astype(int) - image).mean() < 6


def test_todays_layout(tmp_path):
    rec = write_records(tmp_path, insightface_payloads(PEOPLE))
    for faces in (RecordIOImages(tmp_path), RecordIOImages(rec)):
        assert len(faces) == 6 and faces.identity_names == ["0", "1", "2"] and not faces.has_names
        assert_holds_the_people(faces)
    assert faces.describe(1).startswith(f"{rec} record 2 (byte offset ")


def test_opening_reads_two_headers_per_person_and_no_image(tmp_path, monkeypatch):
    write_records(tmp_path, insightface_payloads([[b"not an image"] * 50, [b"nor this"] * 50]))
    read = []
    pread = os.pread
    monkeypatch.setattr("os.pread", lambda *args: read.append(args[1]) or pread(*args))
    assert RecordIOImages(tmp_path).num_identities == 2
    probes_of_the_index = 16 + 1
    assert len(read) <= 2 * (1 + 2 + 2) + probes_of_the_index and max(read) <= 64


def test_old_layout_without_identity_records(tmp_path):
    images = [image for person in PEOPLE for image in person]
    write_records(tmp_path, {key: payload(float(LABELS[key]), key, image) for key, image in enumerate(images)})
    assert_holds_the_people(RecordIOImages(tmp_path))


def test_label_vectors_shuffled_index_and_gaps_in_the_numbers(tmp_path):
    images = [image for person in PEOPLE for image in person]
    payloads = {key: payload([10.0 * LABELS[key], 0.5], key, image) for key, image in enumerate(images)}
    write_records(tmp_path, dict(sorted(payloads.items(), key=lambda item: -item[0])))
    faces = RecordIOImages(tmp_path)
    assert faces.identity_names == ["0", "10", "20"]
    assert_holds_the_people(faces)


@pytest.mark.parametrize(
    "ranges",
    [
        [(1, 4), (4, 5), (5, 9)],
        [(1, 4), (4, 4), (5, 7)],
        [(1, 5), (5, 3), (3, 7)],
        [(1, 3), (3, 5), (5, 7)],
        [(2, 4), (4, 5), (5, 7)],
    ],
)
def test_images_own_labels_count_where_identity_records_disagree(tmp_path, ranges):
    payloads = insightface_payloads(PEOPLE)
    payloads |= {7 + person: payload([float(x) for x in bounds], 7 + person) for person, bounds in enumerate(ranges)}
    write_records(tmp_path, payloads)
    assert_holds_the_people(RecordIOImages(tmp_path))


def test_split_records_are_joined(tmp_path):
    image = PEOPLE[0][0]
    comments = MAGIC_BYTES * 3 + b"ab" + MAGIC_BYTES
    padded = image[:2] + b"\xff\xfe" + struct.pack(">H", len(comments) + 2 + 2) + b"zz" + comments + image[2:]
    payloads = insightface_payloads([[padded], *PEOPLE[1:]])
    rec = write_records(tmp_path, payloads)
    assert rec.read_bytes().count(MAGIC_BYTES) > len(payloads)
    faces = RecordIOImages(tmp_path)
    assert np.abs(faces.read(0).astype(int) - smooth_image(0)).mean() < 6
    assert faces.read(1).shape == (40, 40, 3)


def offset_of(folder, key: int) -> int:
    return dict(map(int, line.split()) for line in (folder / "train.idx").read_text().splitlines())[key]


def damage(folder, offset: int, content: bytes) -> None:
    with (folder / "train.rec").open("r+b") as file:
        file.seek(offset)
        file.write(content)


@pytest.mark.parametrize(
    ("shift", "content", "message"),
    [
        (0, b"oops", "instead of RecordIO's 0xced7230a"),
        (4, struct.pack("<I", 3 << 29 | 100), "part 3 of a split record"),
        (4, struct.pack("<I", 1 << 29 | 100), "instead of RecordIO's"),
        (4, struct.pack("<I", 1 << 28), "the file ends after"),
        (4, struct.pack("<I", 5), "5 bytes are too few"),
        (8 + 24, b"no JPEG any more", "not an image"),
        (8, struct.pack("<I", 4_000_000_000), "is empty"),
    ],
)
def test_a_corrupt_record_is_named_and_the_others_are_read(tmp_path, shift, content, message):
    write_records(tmp_path, insightface_payloads(PEOPLE))
    offset = offset_of(tmp_path, 2)
    damage(tmp_path, offset + shift, content)
    faces = RecordIOImages(tmp_path)
    with pytest.raises(CorruptImageError, match=rf"train\.rec record 2 \(byte offset {offset}\): .*{message}"):
        faces.read(1)
    assert faces.read(0).shape == faces.read(2).shape == (40, 40, 3)


def test_an_image_whose_label_is_unreadable_is_left_out_and_named(tmp_path, caplog):
    write_records(tmp_path, insightface_payloads(PEOPLE))
    damage(tmp_path, offset_of(tmp_path, 1), b"oops")
    with caplog.at_level(logging.WARNING):
        faces = RecordIOImages(tmp_path)
    np.testing.assert_array_equal(faces.labels, LABELS[1:])
    assert faces.num_unreadable == 1 and "record 1 (byte offset" in caplog.text
    assert "record 2 " in faces.describe(0)


@pytest.mark.parametrize("label", [0.5, -0.5, float("nan"), float("inf"), float("-inf"), 1e30])
def test_labels_that_are_no_whole_number_are_unreadable(tmp_path, caplog, label):
    payloads = {key: payload(label if key == 3 else 0.0, key, PEOPLE[0][0]) for key in range(5)}
    write_records(tmp_path, payloads)
    faces = RecordIOImages(tmp_path)
    assert len(faces) == 4 and faces.num_unreadable == 1 and faces.num_unlabeled == 0
    assert "records left out, their label is not a whole number below 2³¹: 1 (" in caplog.text
    write_records(tmp_path, {key: payload(label, key, PEOPLE[0][0]) for key in range(5)})
    with pytest.raises(DataError, match="no readable image; left out: 5 because their label is not a whole number"):
        RecordIOImages(tmp_path)


@pytest.mark.parametrize("label", [-1.0, -7.0, [-1.0, 3.0]])
def test_a_label_below_zero_is_no_label(tmp_path, caplog, label):
    write_records(tmp_path, {key: payload(label if key == 3 else 0.0, key, PEOPLE[0][0]) for key in range(5)})
    faces = RecordIOImages(tmp_path)
    assert len(faces) == 4 and faces.num_unlabeled == 1 and faces.num_unreadable == 0 and "1 of 5" in caplog.text


def test_labels_that_float32_cannot_tell_apart_are_said(tmp_path, caplog):
    write_records(tmp_path, {key: payload(2.0**24 - 2 + key, key, PEOPLE[0][0]) for key in range(2)})
    assert RecordIOImages(tmp_path).num_identities == 2 and not caplog.text
    write_records(tmp_path, {key: payload(2.0**24 + key, key, PEOPLE[0][0]) for key in range(2)})
    assert RecordIOImages(tmp_path).num_identities == 1 and "neighbouring numbers may have become one" in caplog.text


def test_a_corrupt_first_or_identity_record_is_dealt_with(tmp_path):
    write_records(tmp_path, insightface_payloads(PEOPLE))
    damage(tmp_path, offset_of(tmp_path, 8), b"oops")
    assert_holds_the_people(RecordIOImages(tmp_path))
    damage(tmp_path, 0, b"oops")
    with pytest.raises(DataError, match=r"record 0 \(byte offset 0\)"):
        RecordIOImages(tmp_path)


def test_of_a_truncated_file_the_images_so_far_are_kept_and_it_is_named(tmp_path, caplog):
    rec = write_records(tmp_path, insightface_payloads(PEOPLE))
    rec.write_bytes(rec.read_bytes()[: rec.stat().st_size // 2])
    faces = RecordIOImages(tmp_path)
    assert "records outside train.rec" in caplog.text and "The records before its end are kept: " in caplog.text
    assert 0 < len(faces) < 6 and faces.labels.tolist() == LABELS[: len(faces)]
    for index in range(len(faces)):
        assert faces.read(index).shape == (40, 40, 3)
    assert faces.num_unreadable == 0 or "headers are corrupt" in caplog.text
    (tmp_path / "train.idx").unlink()
    assert RecordIOImages(tmp_path).labels.tolist() == faces.labels.tolist()


def test_a_file_without_any_indexed_record_is_refused(tmp_path):
    write_records(tmp_path, insightface_payloads(PEOPLE)).write_bytes(b"")
    with pytest.raises(DataError, match=r"train\.idx: records outside train\.rec, which has 0 bytes: 10 of 10"):
        RecordIOImages(tmp_path)


@pytest.mark.parametrize("layout", ["today's", "header record last", "old", "old, ids all 0", "split"])
def test_a_missing_index_is_made_up_for(tmp_path, layout, monkeypatch):
    payloads = insightface_payloads(PEOPLE)
    if layout == "header record last":
        payloads = dict(list(payloads.items())[1:]) | {0: payloads[0]}
    elif layout == "split":
        payloads[1] = payloads[1] + b"\0" * (-len(payloads[1]) % 4) + MAGIC_BYTES * 3 + b"\xff\xd9"
    elif layout.startswith("old"):
        images = [image for person in PEOPLE for image in person]
        ids = [0] * 6 if "all 0" in layout else range(6)
        payloads = {
            key: payload(float(LABELS[key]), one, image)
            for key, (one, image) in enumerate(zip(ids, images, strict=True))
        }
    write_records(tmp_path, payloads)
    (tmp_path / "train.idx").unlink()
    assert_holds_the_people(RecordIOImages(tmp_path))
    monkeypatch.setattr("facemargin.data.formats.record_scan._scan", None)  # from here on the saved scan is used
    assert_holds_the_people(RecordIOImages(tmp_path))


def test_without_an_index_damaged_stretches_are_skipped_and_counted(tmp_path, caplog):
    write_records(tmp_path, insightface_payloads(PEOPLE))
    damage(tmp_path, offset_of(tmp_path, 2), b"oops")
    damage(tmp_path, offset_of(tmp_path, 5) + 4, struct.pack("<I", 1 << 28))
    (tmp_path / "train.idx").unlink()
    faces = RecordIOImages(tmp_path)
    assert "2 damaged or truncated parts" in caplog.text and faces.labels.tolist() == [0, 0, 1, 2]
    for index, number in enumerate([0, 2, 10, 21]):
        assert np.abs(faces.read(index).astype(int) - smooth_image(number)).mean() < 6


def test_a_file_that_holds_no_record_is_refused(tmp_path):
    (tmp_path / "train.rec").write_bytes(b"<html>" * 1000)
    with pytest.raises(DataError, match=r"train\.rec holds no RecordIO record"):
        RecordIOImages(tmp_path)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("3,112,112", None),
        ("3,112,112\n6\n", None),
        ("4,112,112", "states 4 identities, but the records have 3"),
        ("3,112,112\n60", "states 60 images, but the records have 6"),
        ("", "cannot be read; expected identities"),
        ("\xff many", "cannot be read; expected identities"),
    ],
)
def test_the_property_file_is_compared(tmp_path, caplog, text, warning):
    write_records(tmp_path, insightface_payloads(PEOPLE))
    (tmp_path / "property").write_bytes(text.encode("latin1"))
    assert len(RecordIOImages(tmp_path)) == 6
    assert (warning in caplog.text) if warning else not caplog.text


def test_names_of_people_beside_the_records(tmp_path, caplog):
    write_records(tmp_path, insightface_payloads(PEOPLE))
    (tmp_path / "identities.txt").write_text("Ann\nBob\nCem\n")
    faces = RecordIOImages(tmp_path)
    assert faces.identity_names == ["Ann", "Bob", "Cem"] and faces.has_names
    (tmp_path / "identities.txt").write_text("Ann\nBob\n")
    assert RecordIOImages(tmp_path).identity_names == ["0", "1", "2"] and "has names for 2 identities" in caplog.text


def test_encoded_bytes_are_those_that_were_stored(tmp_path):
    write_records(tmp_path, insightface_payloads(PEOPLE))
    faces = RecordIOImages(tmp_path)
    assert [faces.read_encoded(index) for index in range(6)] == [image for person in PEOPLE for image in person]


def test_a_last_image_that_the_file_ends_in_is_left_out_and_named(tmp_path, caplog):
    images = [image for person in PEOPLE for image in person]
    rec = write_records(tmp_path, {key: payload(float(LABELS[key]), key, image) for key, image in enumerate(images)})
    rec.write_bytes(rec.read_bytes()[:-10])
    faces = RecordIOImages(tmp_path)
    assert len(faces) == 5 and "record 5 (byte offset" in caplog.text


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("", "expected lines"),
        ("0\t0\n1\n", "expected lines"),
        ("0\tzero\n", "whole numbers"),
        ("0\t1e2\n", "whole numbers: found 'e'"),
        ("0\t1_0\n", "whole numbers: found '_'"),
        ("0\t" + "9" * 30 + "\n", "whole numbers"),
        ("0\t0\n0\t8\n", "key 0 occurs 2 times, expected once. Delete this file"),
        ("0\t-4\n", "records outside"),
        ("<html>\n", "whole numbers"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_bad_index_is_refused_with_its_name(tmp_path, index, message):
    write_records(tmp_path, insightface_payloads(PEOPLE))
    (tmp_path / "train.idx").write_text(index)
    with pytest.raises(DataError, match=rf"train\.idx: .*{message}"):
        RecordIOImages(tmp_path)


def test_missing_files_say_what_is_missing(tmp_path):
    with pytest.raises(DataError, match=r"train\.rec does not exist"):
        RecordIOImages(tmp_path)


def test_a_set_of_no_images_is_refused(tmp_path):
    write_records(tmp_path, insightface_payloads([]))
    with pytest.raises(DataError, match="no readable image"):
        RecordIOImages(tmp_path)


def checksums(faces: RecordIOImages, indices: list[int]) -> list[int]:
    return [int(faces.read(index).sum()) for index in indices]


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_several_processes_read_the_same(tmp_path, method):
    write_records(tmp_path, insightface_payloads(PEOPLE))
    faces = RecordIOImages(tmp_path)
    expected = checksums(faces, list(range(6)))  # opens the file before the fork
    with multiprocessing.get_context(method).Pool(2) as pool:
        results = pool.starmap(checksums, [(faces, [i % 6]) for i in range(60)], chunksize=1)
    assert [result[0] for result in results] == [expected[i % 6] for i in range(60)]


def test_a_pickled_copy_opens_its_own_file(tmp_path):
    write_records(tmp_path, insightface_payloads(PEOPLE))
    faces = RecordIOImages(tmp_path)
    faces.read(0)
    copy = pickle.loads(pickle.dumps(faces))
    del faces
    assert_holds_the_people(copy)
