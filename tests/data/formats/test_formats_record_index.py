"""Indices that do not fit their .rec file: cut off, with gaps, of another file."""

import pytest

from facemargin.data.conversion import convert
from facemargin.data.formats.recordio import RecordIOImages
from facemargin.data.open import open_images
from facemargin.errors import DataError
from tests.data.conversion_progress import no_progress
from tests.data.recordio_writer import insightface_payloads, payload, write_records
from tests.data.sample_images import encode, smooth_image

PEOPLE = [[encode(smooth_image(10 * person + number)) for number in range(3)] for person in range(3)]
IMAGES = [image for person in PEOPLE for image in person]
LABELS = [0, 0, 0, 1, 1, 1, 2, 2, 2]


def write_todays(folder):
    return write_records(folder, insightface_payloads(PEOPLE))


def write_header_last(folder):
    payloads = insightface_payloads(PEOPLE)
    return write_records(folder, dict(list(payloads.items())[1:]) | {0: payloads[0]})


def write_old(folder):
    return write_records(folder, {key: payload(float(key // 3), key, image) for key, image in enumerate(IMAGES)})


def write_with_equal_ids(folder):
    return write_records(folder, {key: payload(float(key // 3), 0, image) for key, image in enumerate(IMAGES)})


LAYOUTS = [write_todays, write_header_last, write_old, write_with_equal_ids]


def keep(folder, which):
    path = folder / "train.idx"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(which(lines)))


def assert_whole(faces):
    found = sorted((int(faces.labels[index]), faces.read_encoded(index)) for index in range(len(faces)))
    assert found == sorted(zip(LABELS, IMAGES, strict=True))


@pytest.mark.parametrize("write", LAYOUTS)
@pytest.mark.parametrize("lost", [1, 2, 4, 6])
def test_behind_an_index_that_was_cut_off_reading_goes_on(tmp_path, caplog, write, lost):
    write(tmp_path)
    keep(tmp_path, lambda lines: lines[:-lost])
    total = len(IMAGES) + 4 * (write in (write_todays, write_header_last))
    for _ in range(2):  # the second time from what the first has saved
        caplog.clear()
        assert_whole(RecordIOImages(tmp_path))
        assert f"train.idx lists {total - lost} of the {total} records in the file beside it" in caplog.text
        assert f"records after the last one in the index, which are read as well: {lost}" in caplog.text


def test_a_whole_index_is_believed_without_a_word(tmp_path, caplog):
    for write in LAYOUTS:
        write(tmp_path)
        assert_whole(RecordIOImages(tmp_path))
        keep(tmp_path, lambda lines: [*reversed(lines), "\n", "\n"])
        assert_whole(RecordIOImages(tmp_path))
    assert not caplog.text and not list(tmp_path.glob("*.index.json"))


@pytest.mark.parametrize(("first", "end"), [(0, 1), (4, 6)])
def test_records_that_an_index_passes_over_are_counted(tmp_path, caplog, first, end):
    write_old(tmp_path)
    keep(tmp_path, lambda lines: lines[:first] + lines[end:])
    faces = RecordIOImages(tmp_path)
    assert [faces.read_encoded(index) for index in range(len(faces))] == IMAGES[:first] + IMAGES[end:]
    assert f"lists {9 - (end - first)} of the 9 records" in caplog.text
    assert f"skipped records between those in the index: {end - first}" in caplog.text


def test_records_of_identities_are_no_images_where_the_index_lacks_the_header(tmp_path, caplog):
    write_todays(tmp_path)
    keep(tmp_path, lambda lines: lines[1:])
    assert_whole(RecordIOImages(tmp_path))
    assert "records left out, they have two labels and no image" in caplog.text and ": 3 (" in caplog.text


def test_the_index_of_another_file_is_left_alone(tmp_path, caplog):
    write_old(tmp_path)
    (tmp_path / "train.idx").write_text("".join(f"{key}\t{key * 1000}\n" for key in range(9)))
    assert_whole(RecordIOImages(tmp_path))
    assert "train.idx is not the index of train.rec" in caplog.text


def test_what_follows_the_last_record_may_be_none(tmp_path, caplog):
    rec = write_old(tmp_path)
    rec.write_bytes(rec.read_bytes() + bytes(1000))
    assert_whole(RecordIOImages(tmp_path))
    assert "1 damaged or truncated parts" in caplog.text


def test_a_conversion_loses_nobody(tmp_path):
    write_old(tmp_path / "set")
    keep(tmp_path / "set", lambda lines: lines[:5])
    assert convert(open_images(tmp_path / "set"), tmp_path / "out", "folder", no_progress).num_images == 9
    assert_whole(open_images(tmp_path / "out"))


def test_an_index_for_an_empty_file_is_refused(tmp_path):
    write_old(tmp_path).write_bytes(b"")
    with pytest.raises(DataError, match=r"outside train\.rec, which has 0 bytes: 9 of 9"):
        RecordIOImages(tmp_path)
