"""The RecordIO set by MXNet's own writer, read record by record, and in every format and back."""

import hashlib
import shutil
import struct

import numpy as np
import pytest

from facemargin.data.conversion import convert
from facemargin.data.inspection import inspect_images
from facemargin.data.open import open_images
from facemargin.data.source import labeled_subset
from facemargin.data.writers import WRITERS


def no_report(done, total):
    pass


class NoProgress:
    def __init__(self, doing):
        pass

    def __enter__(self):
        return no_report

    def __exit__(self, *error):
        return None


@pytest.fixture(scope="module")
def train(shared_data):
    return shared_data / "data" / "train"


def checksums(faces):
    return sorted(
        (int(faces.identity_names[faces.labels[i]]), digest(faces.read_encoded(i))) for i in range(len(faces))
    )


def digest(encoded):
    return hashlib.sha256(encoded).hexdigest()


def test_record_by_record_as_mxnet_wrote_it(train):
    """A second reading of the format's description: the file from its first byte to its last, without the .idx."""
    content = (train / "train.rec").read_bytes()
    records, offset = {}, 0
    while offset < len(content):
        magic, part_and_length = struct.unpack_from("<II", content, offset)
        length = part_and_length & (2**29 - 1)
        assert magic == 0xCED7230A and part_and_length >> 29 == 0
        flag, label, key, _ = struct.unpack_from("<IfQQ", content, offset + 8)
        labels = struct.unpack_from(f"<{flag}f", content, offset + 32) if flag else (label,)
        assert key not in records
        records[key] = (labels, content[offset + 32 + 4 * flag : offset + 8 + length])
        offset += 8 + length + -length % 4
    assert records[0] == ((7153.0, 7348.0), b"") and len(records) == 1 + 7152 + 195
    ends = [1]
    for person in range(195):
        (first, end), image = records[7153 + person]
        assert image == b"" and first == ends[-1] < end
        assert {records[key][0] for key in range(int(first), int(end))} == {(float(person),)}
        ends.append(int(end))
    assert ends[-1] == 7153
    faces = open_images(train)
    assert len(faces) == 7152 and faces.num_identities == 195
    for index in range(7152):
        labels, image = records[index + 1]
        assert faces.labels[index] == labels[0] and faces.read_encoded(index) == image


def test_without_its_index(train, tmp_path):
    shutil.copy(train / "train.rec", tmp_path)
    found, expected = open_images(tmp_path), open_images(train)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found._offsets, expected._offsets)


@pytest.mark.slow
@pytest.mark.long
def test_all_of_it_to_shards_and_back(train, tmp_path):
    faces = open_images(train)
    expected = checksums(faces)
    assert convert(faces, tmp_path / "shards", "webdataset", NoProgress).num_images == 7152
    assert checksums(open_images(tmp_path / "shards")) == expected
    convert(open_images(tmp_path / "shards"), tmp_path / "records", "recordio", NoProgress)
    found = open_images(tmp_path / "records")
    assert checksums(found) == expected and found.labels.tolist() == faces.labels.tolist()
    assert (tmp_path / "records" / "property").read_text() == (train / "property").read_text()


@pytest.mark.parametrize("to", WRITERS)
def test_every_fourth_image_to_every_format_and_back(train, tmp_path, to):
    faces = open_images(train)
    some = labeled_subset(faces, range(0, len(faces), 4))
    expected = checksums(some)
    convert(some, tmp_path / "there", to, NoProgress)
    assert checksums(open_images(tmp_path / "there")) == expected
    convert(open_images(tmp_path / "there"), tmp_path / "back", "recordio", NoProgress)
    assert checksums(open_images(tmp_path / "back")) == expected


def test_inspection_finds_what_a_slow_search_finds(train):
    faces = labeled_subset(open_images(train), range(2200, 2600))
    found = inspect_images(faces, no_report)
    assert found.corrupt == {} and found.sizes == {(112, 112): 400}
    images = [faces.read(index) for index in range(400)]
    pairs = [
        (first, second)
        for first in range(400)
        for second in range(first)
        if (images[first][::16, ::16] == images[second][::16, ::16]).all() and (images[first] == images[second]).all()
    ]
    assert sorted((group[1], group[0]) for group in found.same_pixels.groups) == sorted(pairs) and pairs
    assert found.same_pixels.across == [
        bool(faces.labels[a] != faces.labels[b]) for a, b in sorted((b, a) for a, b in pairs)
    ]
