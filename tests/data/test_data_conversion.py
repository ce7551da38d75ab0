"""Conversion between all formats: bytes, labels and names kept; kills, full disks and corrupt images survived."""

import gzip
import json
import multiprocessing
import os
import signal
import struct
import sys
import time
from contextlib import nullcontext

import numpy as np
import pytest

from facemargin.data import conversion
from facemargin.data.conversion import convert
from facemargin.data.images.kind import COMMON_SUFFIXES, image_suffix
from facemargin.data.open import open_images
from facemargin.data.source import ArrayImages, ImageSource, WithLabels
from facemargin.data.writers import WRITERS, parquet_writer, shard_writer
from facemargin.data.writers.folder_writer import folder_names
from facemargin.errors import DataError, OutputError
from tests.data.conversion_progress import no_progress
from tests.data.image_kinds import files, picture
from tests.data.recordio_writer import MAGIC_BYTES, payload, write_records
from tests.data.sample_images import encode, smooth_image, write_people
from tests.systems import posix_only

FORMATS = list(WRITERS)
FORK = multiprocessing.get_context("fork" if sys.platform != "win32" else None)


def content(faces):
    """What must survive: for every image, the person's name and the image's bytes."""
    return sorted((faces.identity_names[faces.labels[i]], faces.read_encoded(i)) for i in range(len(faces)))


class InMemory(ImageSource):
    """Encoded images of unsorted people, some of them corrupt."""

    name = "in memory"

    def __init__(self, encoded):
        self._encoded = encoded

    def __len__(self):
        return len(self._encoded)

    def read(self, index):
        raise AssertionError("converting has no need of it")

    def read_encoded(self, index):
        return self._encoded[index]

    def describe(self, index):
        return f"image {index}"


def people(encoded, num_people=3, names=None):
    labels = [index % num_people for index in range(len(encoded))]
    return WithLabels(InMemory(encoded), labels, names or [f"Ann {number}" for number in range(num_people)])


IMAGES = [encode(smooth_image(n, 16, 16), [".png", ".jpg", ".webp", ".bmp"][n % 4]) for n in range(12)]


@pytest.mark.parametrize("first", FORMATS)
@pytest.mark.parametrize("second", FORMATS)
def test_every_format_to_every_other(tmp_path, first, second):
    source = people(IMAGES)
    result = convert(source, tmp_path / "first", first, no_progress)
    assert result.num_images == 12 and result.corrupt == [] and result.num_before == 0
    convert(open_images(tmp_path / "first"), tmp_path / "second", second, no_progress)
    found = open_images(tmp_path / "second")
    assert content(found) == content(source) and found.has_names
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]
    assert not list(tmp_path.rglob(".conversion"))


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("names", [["0", "1", "2"], ["7", "30", "200"], ["../a", "a/b", "ä\n"], ["x", "X", ""]])
def test_numbers_and_difficult_names(tmp_path, to, names):
    source = people(IMAGES, names=names)
    convert(source, tmp_path / "out", to, no_progress)
    found = open_images(tmp_path / "out")
    assert found.has_names == (not names[0].isdecimal())
    if to == "folder":
        expected = folder_names(names)
        assert all("/" not in name and name not in ("", ".", "..") for name in expected)
    else:
        expected = names if to == "parquet" else [name.replace("\n", " ") for name in names]
    assert content(found) == content(people(IMAGES, names=expected))
    assert not (tmp_path / "a").exists()


def test_folder_names():
    assert folder_names(["0", "10", "2"]) == ["00", "10", "02"]
    assert folder_names(["Ann", "ann", "../..", "...", "a\0b", "x" * 300]) == [
        "Ann", "ann_1", "_", "__3", "a_b", "x" * 100,
    ]  # fmt: skip
    many = folder_names([f"{'x' * 200}{number}" for number in range(50)])
    assert len(set(many)) == 50 and max(map(len, many)) < 110


def test_recordio_as_mxnet_reads_it(tmp_path):
    """By the format's description, not by our reader: header record, ranges, keys, flags, labels."""
    convert(people(IMAGES), tmp_path / "out", "recordio", no_progress)
    records = (tmp_path / "out" / "train.rec").read_bytes()
    lines = (tmp_path / "out" / "train.idx").read_text().splitlines()
    offsets = {int(key): int(offset) for key, offset in (line.split("\t") for line in lines)}
    assert sorted(offsets) == list(range(1 + 12 + 3)) and (tmp_path / "out" / "property").read_text() == "3,16,16"

    def record(key):
        magic, length = struct.unpack_from("<II", records, offsets[key])
        assert magic == 0xCED7230A and length < 2**29
        return records[offsets[key] + 8 : offsets[key] + 8 + length]

    assert struct.unpack("<IfQQff", record(0)) == (2, 0.0, 0, 0, 13.0, 16.0)
    ranges = [struct.unpack("<IfQQff", record(key)) for key in (13, 14, 15)]
    assert [one[4:] for one in ranges] == [(1.0, 5.0), (5.0, 9.0), (9.0, 13.0)]
    for label, one in enumerate(ranges):
        for key in range(int(one[4]), int(one[5])):
            flag, stored, identity, _ = struct.unpack_from("<IfQQ", record(key))
            assert (flag, stored, identity) == (0, label, key)
            assert record(key)[24:] in IMAGES[label::3]


def test_recordio_splits_at_the_magic_and_reads_back_without_its_index(tmp_path):
    jpeg = encode(smooth_image(0))
    encoded = [jpeg + b"\0" * (-len(jpeg) % 4) + MAGIC_BYTES * repeat + b"\xff\xd9" for repeat in range(4)]
    encoded += [jpeg + b"\0" * (-len(jpeg) % 4) + b"a" + MAGIC_BYTES * 2 + b"\xff\xd9"]
    source = people(encoded, 1)
    convert(source, tmp_path / "out", "recordio", no_progress)
    (tmp_path / "out" / "train.idx").unlink()
    assert content(open_images(tmp_path / "out")) == content(source)


def test_sets_in_blocks_keep_their_order(tmp_path, caplog):
    """Unsorted compressed shards cannot be read person by person: RecordIO then is in the layout without ranges."""
    convert(people(IMAGES), tmp_path / "shards", "webdataset", no_progress)
    path = tmp_path / "shards" / "train-000000.tar"
    (tmp_path / "shards" / "train-000000.tar.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    convert(open_images(tmp_path / "shards"), tmp_path / "out", "recordio", no_progress)
    found = open_images(tmp_path / "out")
    assert [found.read_encoded(index) for index in range(12)] == IMAGES and found._keys.tolist() == list(range(12))
    assert content(found) == content(people(IMAGES)) and not caplog.text


@pytest.mark.parametrize("to", FORMATS)
def test_corrupt_images_are_named_and_left_out(tmp_path, to):
    encoded = [*IMAGES[:3], IMAGES[3][:100], b"", b"nothing", *IMAGES[6:]]
    result = convert(people(encoded), tmp_path / "out", to, no_progress)
    assert result.num_images == 9 and len(result.corrupt) == 3
    assert [message.split(":")[0] for message in sorted(result.corrupt)] == ["image 3", "image 4", "image 5"]
    kept = content(people(IMAGES))
    assert content(open_images(tmp_path / "out")) == [one for one in kept if one[1] not in IMAGES[3:6]]


def test_a_person_of_corrupt_images_only_is_left_out(tmp_path):
    encoded = [b"nothing" if index % 3 == 1 else image for index, image in enumerate(IMAGES)]
    for to in FORMATS:
        convert(people(encoded), tmp_path / to, to, no_progress)
        assert open_images(tmp_path / to).identity_names == ["Ann 0", "Ann 2"]
    with pytest.raises(DataError, match="none of 2 images can be read"):
        convert(people([b"", b"x"]), tmp_path / "none", "folder", no_progress)


def test_images_that_are_no_files_become_png(tmp_path):
    images = ArrayImages([smooth_image(number) for number in range(3)])
    convert(WithLabels(images, [0, 0, 1], ["Ann", "Bob"]), tmp_path / "out", "folder", no_progress)
    np.testing.assert_array_equal(open_images(tmp_path / "out").read(2), smooth_image(2))
    assert (tmp_path / "out" / "Bob" / "000000002.png").is_file()


def test_rare_kinds_of_files_become_png(tmp_path):
    convert(people([encode(smooth_image(n), ".tiff") for n in range(3)]), tmp_path / "out", "folder", no_progress)
    np.testing.assert_array_equal(open_images(tmp_path / "out").read(1), smooth_image(1))


def test_many_files_of_a_format(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_writer, "SHARD_IMAGES", 5)
    monkeypatch.setattr(parquet_writer, "FILE_IMAGES", 5)
    monkeypatch.setattr(parquet_writer, "_ROWS", 2)
    for to in ("webdataset", "parquet"):
        convert(people(IMAGES), tmp_path / to, to, no_progress)
        assert len(list((tmp_path / to).glob("train-*[rt]"))) == 3
        assert content(open_images(tmp_path / to)) == content(people(IMAGES))


def test_what_exists_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    convert(people(IMAGES), tmp_path / "out", "list", no_progress)  # an empty folder is as good as none
    before = sorted(path.name for path in (tmp_path / "out").iterdir())
    with pytest.raises(DataError, match="out exists already; give another destination"):
        convert(people(IMAGES), tmp_path / "out", "folder", no_progress)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="file exists already"):
        convert(people(IMAGES), tmp_path / "file", "folder", no_progress)
    (tmp_path / "new.partial").mkdir()
    (tmp_path / "new.partial" / "mine").write_text("mine")
    with pytest.raises(DataError, match=r"new\.partial exists and does not belong to a conversion"):
        convert(people(IMAGES), tmp_path / "new", "folder", no_progress)


class StoppedError(Exception):
    pass


def interrupted_progress(after):
    """Raises at the report that comes after so many images."""

    class Progress:
        def __enter__(self):
            def report(done, total):
                if done >= after:
                    raise StoppedError

            return report

        def __exit__(self, *error):
            return None

    return lambda doing: Progress()


@pytest.mark.parametrize("to", FORMATS)
def test_an_interrupted_conversion_goes_on(tmp_path, monkeypatch, to):
    monkeypatch.setattr(conversion, "_REPORT_EVERY", 1)
    monkeypatch.setattr(conversion, "_SECONDS_BETWEEN_COMMITS", 0.0)
    monkeypatch.setattr(shard_writer, "SHARD_IMAGES", 2)
    monkeypatch.setattr(parquet_writer, "FILE_IMAGES", 2)
    encoded = [*IMAGES[:4], b"corrupt", *IMAGES[5:]]
    for after in (0, 3, 6, 10):
        with pytest.raises(StoppedError):
            convert(people(encoded), tmp_path / "out", to, interrupted_progress(after))
        assert not (tmp_path / "out").exists()
    result = convert(people(encoded), tmp_path / "out", to, no_progress)
    assert result.num_images == 11 and 8 <= result.num_before <= 10 and len(result.corrupt) == 1
    expected = [one for one in content(people(IMAGES)) if one[1] != IMAGES[4]]
    assert content(open_images(tmp_path / "out")) == expected


def test_a_conversion_of_something_else_is_not_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "_REPORT_EVERY", 1)
    with pytest.raises(StoppedError):
        convert(people(IMAGES), tmp_path / "out", "folder", interrupted_progress(5))
    for source, to in ((people(IMAGES), "list"), (people(IMAGES[:9]), "folder"), (people(IMAGES, 2), "folder")):
        with pytest.raises(DataError, match=r"out\.partial belongs to another conversion \(image 0 to folder\)"):
            convert(source, tmp_path / "out", to, no_progress)


def test_a_copy_that_does_not_read_back_the_same_is_refused(tmp_path, monkeypatch):
    write = WRITERS["list"].add
    monkeypatch.setattr(
        WRITERS["list"], "add", lambda self, number, label, encoded, suffix: write(self, number, 0, encoded, suffix)
    )
    with pytest.raises(
        DataError, match=r"12 images were written, but reading them back \(12 images\) gives different content"
    ):
        convert(people(IMAGES), tmp_path / "out", "list", no_progress)
    assert not (tmp_path / "out").exists()


def test_two_at_once_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "_REPORT_EVERY", 1)

    class Nested:
        def __enter__(self):
            with pytest.raises(DataError, match="another process is writing this conversion"):
                convert(people(IMAGES), tmp_path / "out", "list", no_progress)
            return lambda done, total: None

        def __exit__(self, *error):
            return None

    assert convert(people(IMAGES), tmp_path / "out", "list", lambda doing: Nested()).num_images == 12


def convert_on_a_full_disk(source, destination, to, errors):
    """In a process of its own: files cannot grow beyond 300,000 bytes."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    try:
        convert(open_images(source), destination, to, no_progress)
    except OutputError as error:
        errors.put(str(error))
    except BaseException as error:  # the parent is not to wait for what never comes
        errors.put(repr(error))
        raise


def convert_slowly(source, destination, to):
    """In a process of its own, which notes its progress often."""
    conversion._SECONDS_BETWEEN_COMMITS = 0.01
    conversion._REPORT_EVERY = 1
    shard_writer.SHARD_IMAGES = parquet_writer.FILE_IMAGES = 30
    convert(open_images(source), destination, to, lambda doing: nullcontext(lambda done, total: time.sleep(0.002)))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A set of 400 images, and what is in it."""
    folder = tmp_path_factory.mktemp("large")
    images = [np.random.default_rng(n).integers(0, 256, (24, 24, 3), dtype=np.uint8) for n in range(20)]
    encoded = [encode(image, ".png") for image in images]
    write_records(folder, {key: payload(float(key // 40), key, encoded[key % 20]) for key in range(400)})
    return folder


@posix_only
@pytest.mark.parametrize("to", ["recordio", "webdataset", "parquet"])
def test_a_full_disk_leaves_what_is_there_and_says_so(tmp_path, large, to, capfd):
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier" / "output").write_text("kept")
    errors = FORK.Queue()
    process = FORK.Process(target=convert_on_a_full_disk, args=(large, tmp_path / "out", to, errors))
    process.start()
    message = errors.get(timeout=900)
    process.join()
    assert process.exitcode == 0 and capfd.readouterr().err == ""
    assert message.startswith("cannot write ") and "The finished part is kept in" in message
    assert not (tmp_path / "out").exists() and (tmp_path / "earlier" / "output").read_text() == "kept"
    result = convert(open_images(large), tmp_path / "out", to, no_progress)
    assert result.num_images == 400 and content(open_images(tmp_path / "out")) == content(open_images(large))


@posix_only
@pytest.mark.parametrize("to", FORMATS)
def test_a_killed_conversion_goes_on(tmp_path, large, to):
    process = FORK.Process(target=convert_slowly, args=(large, tmp_path / "out", to))
    process.start()
    journal = tmp_path / "out.partial" / ".conversion" / "journal.json"
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline and not (journal.exists() and json.loads(journal.read_bytes())["images"] >= 60):
        time.sleep(0.005)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL and not (tmp_path / "out").exists()
    # What a power cut may leave behind the last commit: half of a record.
    for path in (tmp_path / "out.partial").glob("train*"):
        if path.suffix in (".rec", ".idx"):
            path.write_bytes(path.read_bytes() + b"half a record")
    result = convert(open_images(large), tmp_path / "out", to, no_progress)
    assert result.num_images == 400 and 60 <= result.num_before < 400
    assert content_by_number(open_images(tmp_path / "out")) == content_by_number(open_images(large))


def content_by_number(faces):
    return sorted((int(name), encoded) for name, encoded in content(faces))


def test_a_partial_folder_that_lost_bytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "_REPORT_EVERY", 1)
    monkeypatch.setattr(conversion, "_SECONDS_BETWEEN_COMMITS", 0.0)
    with pytest.raises(StoppedError):
        convert(people(IMAGES), tmp_path / "out", "recordio", interrupted_progress(5))
    os.truncate(tmp_path / "out.partial" / "train.rec", 10)
    with pytest.raises(DataError, match=r"train\.rec is shorter than \d+ bytes, so an earlier conversion cannot"):
        convert(people(IMAGES), tmp_path / "out", "recordio", no_progress)


def test_a_destination_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*file/out: .*The finished part is kept"):
        convert(people(IMAGES), tmp_path / "file" / "out", "list", no_progress)


def test_people_in_folders_to_records_and_back(tmp_path):
    write_people(tmp_path / "people", [2, 3])
    convert(open_images(tmp_path / "people"), tmp_path / "records", "recordio", no_progress)
    convert(open_images(tmp_path / "records"), tmp_path / "back", "folder", no_progress)
    assert content(open_images(tmp_path / "back")) == content(open_images(tmp_path / "people"))


@pytest.mark.parametrize("to", ["folder", "recordio", "webdataset", "parquet", "list"])
def test_rare_kinds_become_png_and_are_counted(tmp_path, to):
    kinds = files(picture())
    for number, (suffix, (_, encoded, _)) in enumerate(kinds.items()):
        path = tmp_path / "source" / f"person{number % 2}" / f"{number}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded)
    source = open_images(tmp_path / "source")
    result = convert(source, tmp_path / "to", to, no_progress)
    rare = [encoded for canonical, encoded, _ in kinds.values() if canonical not in COMMON_SUFFIXES]
    assert result.num_images == len(kinds) and result.num_as_png == len(rare) == 11
    written = open_images(tmp_path / "to")
    theirs = sorted(written.read(index).tobytes() for index in range(len(written)))
    assert theirs == sorted(source.read(index).tobytes() for index in range(len(source)))
    suffixes = {image_suffix(written.read_encoded(index)) for index in range(len(written))}
    assert suffixes <= COMMON_SUFFIXES
