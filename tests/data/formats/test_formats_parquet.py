"""Parquet files as the Hub has them, read in bounded memory, damaged and unusual ones."""

import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from torch.utils.data import DataLoader

from facemargin.data.formats import parquet
from facemargin.data.formats.parquet import ParquetImages
from facemargin.data.open import open_images
from facemargin.data.sampler import EpochBatchSampler
from facemargin.data.training_set import TrainingSet
from facemargin.errors import ConfigError, CorruptImageError, DataError
from tests.data.sample_images import encode, smooth_image

IMAGES = [encode(smooth_image(number, 12, 12), ".png") for number in range(20)]
LABELS = [number % 3 for number in range(20)]


def write(path, images=None, labels=None, row_group_size=6, label_type=None, label_name="label", names=None, **options):
    images = [{"bytes": image, "path": None} for image in IMAGES] if images is None else images
    table = pa.table({"image": images, label_name: pa.array(LABELS if labels is None else labels, label_type)})
    if names is not None:
        features = {"image": {"_type": "Image"}, label_name: {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table, path, row_group_size=row_group_size, **options)
    return path


def assert_holds_the_images(faces):
    assert len(faces) == 20 and faces.labels.tolist() == LABELS
    for index in (19, 0, 6, 5, 13):
        assert faces.read_encoded(index) == IMAGES[index]
        np.testing.assert_array_equal(faces.read(index), smooth_image(index, 12, 12))


@pytest.mark.parametrize("row_group_size", [1, 6, 100])
@pytest.mark.parametrize("rows", [1, 4, 256])
def test_row_groups_and_blocks_of_any_size(tmp_path, monkeypatch, row_group_size, rows):
    monkeypatch.setattr(parquet, "BLOCK_IMAGES", rows)
    faces = open_images(write(tmp_path / "a.parquet", row_group_size=row_group_size))
    assert_holds_the_images(faces)
    assert faces.identity_names == ["0", "1", "2"] and not faces.has_names
    assert len(faces.blocks.starts_K) == sum(
        -(-min(row_group_size, 20 - start) // rows) for start in range(0, 20, row_group_size)
    )


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_images_as_plain_bytes(tmp_path, kind):
    assert_holds_the_images(open_images(write(tmp_path / "a.parquet", pa.array(IMAGES, kind))))


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint16(), pa.int32(), pa.uint64()])
def test_labels_of_any_whole_type(tmp_path, kind):
    assert_holds_the_images(open_images(write(tmp_path / "a.parquet", label_type=kind)))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_labels_as_texts(tmp_path, kind):
    labels = [["Ann", "Bob", "Cem"][label] for label in LABELS]
    faces = open_images(write(tmp_path / "a.parquet", labels=pa.array(labels).cast(kind)))
    assert_holds_the_images(faces)
    assert faces.identity_names == ["Ann", "Bob", "Cem"] and faces.has_names


def test_names_of_a_class_label(tmp_path):
    faces = open_images(write(tmp_path / "a.parquet", names=["Zoe", "Bob", "Ann", "Unseen"]))
    assert_holds_the_images(faces)
    assert faces.identity_names == ["Zoe", "Bob", "Ann"] and faces.has_names


@pytest.mark.parametrize("names", [["too", "few"], [1, 2, 3], "abc", None])
def test_class_names_that_do_not_fit_are_ignored(tmp_path, names):
    assert open_images(write(tmp_path / "a.parquet", names=names)).identity_names == ["0", "1", "2"]


def test_several_files_by_folder_and_pattern(tmp_path):
    write(tmp_path / "data" / "train-0.parquet", [{"bytes": image} for image in IMAGES[:9]], LABELS[:9])
    write(tmp_path / "data" / "train-1.parquet", [{"bytes": image} for image in IMAGES[9:]], LABELS[9:])
    for location in (tmp_path, tmp_path / "data", f"{tmp_path}/data/train-*.parquet", f"{tmp_path}/*/*.parquet"):
        faces = open_images(location)
        assert_holds_the_images(faces)
    assert faces.describe(16) == f"{tmp_path}/data/train-1.parquet row group 1 row 1"
    with pytest.raises(DataError, match="does not exist"):
        open_images(f"{tmp_path}/data/test-*.parquet")


def test_rows_without_label_are_left_out_and_without_image_are_named(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(parquet, "BLOCK_IMAGES", 2)
    labels = [None if number in (2, 3, 7, 19) else -5 if number == 0 else 1 for number in range(20)]
    images = [{"bytes": None if number == 8 else image, "path": "x.png"} for number, image in enumerate(IMAGES)]
    faces = open_images(write(tmp_path / "a.parquet", images, labels))
    assert len(faces) == 15 and faces.num_unlabeled == 5
    assert "rows left out because they have no label (none, -1, or below): 5 of 20" in caplog.text
    kept = [number for number in range(20) if number not in (0, 2, 3, 7, 19)]
    for index, number in enumerate(kept):
        if number == 8:
            with pytest.raises(CorruptImageError, match="row group 1: the row has no image bytes"):
                faces.read(index)
            assert faces.describe(index).endswith("row group 1 row 2")
        else:
            assert faces.read_encoded(index) == IMAGES[number]


def test_large_images_make_small_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "BLOCK_BYTES", 3 * len(IMAGES[0]))
    faces = open_images(write(tmp_path / "a.parquet", row_group_size=20, use_dictionary=False, compression="none"))
    assert max(np.diff([*faces.blocks.starts_K, 20])) <= 3
    assert_holds_the_images(faces)


@pytest.mark.parametrize("workers", [0, 2])
def test_training_sees_every_image_once_whoever_reads(tmp_path, monkeypatch, workers):
    monkeypatch.setattr(parquet, "BLOCK_IMAGES", 2)
    faces = open_images(write(tmp_path / "a.parquet"))
    faces.read(0)
    training_set = TrainingSet(faces, 12)
    sampler = EpochBatchSampler(20, 5, 0, 1, blocks=faces.blocks)
    loader = DataLoader(training_set, batch_size=None, sampler=sampler, num_workers=workers)
    seen = []
    for batch in loader:
        for index, image in zip(batch.indices_B.tolist(), batch.images_BCHW.numpy(), strict=True):
            np.testing.assert_array_equal(image.transpose(1, 2, 0), smooth_image(index, 12, 12))
            seen.append(index)
    assert sorted(seen) == list(range(20)) and seen != sorted(seen)


def test_files_that_are_none_are_named(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + b"\0" * 100)
    with pytest.raises(DataError, match=r"a\.parquet is not a parquet file that can be read"):
        open_images(tmp_path / "a.parquet")
    path = write(tmp_path / "b.parquet")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"b\.parquet is not a parquet file"):
        open_images(path)
    with pytest.raises(DataError, match="there are no parquet files"):
        ParquetImages([], "nothing")


def test_a_damaged_row_group_is_named_and_the_others_are_read(tmp_path):
    path = write(tmp_path / "a.parquet", compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    start = content.index(IMAGES[7]) - 2000 // len(IMAGES[0]) * len(IMAGES[0])
    chunk = pq.ParquetFile(path).metadata.row_group(1).column(0)
    start = chunk.data_page_offset
    content[start : start + 8] = b"\xff" * 8
    path.write_bytes(content)
    faces = open_images(path)
    for index in (7, 11, 6):
        with pytest.raises(CorruptImageError, match=r"a\.parquet row group 1: cannot be read"):
            faces.read(index)
    assert faces.read_encoded(5) == IMAGES[5] and faces.read_encoded(12) == IMAGES[12]


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"image": [1.5], "label": [1]}, r"image \(double\)"),
        ({"image": [b"x"], "label": [1.5]}, r"label \(double\)"),
        ({"a": [b"x"], "b": [b"x"], "label": [1]}, r"a \(binary\), b \(binary\)"),
        ({"image": [b"x"], "a": [1], "b": [2]}, r"a \(int64\), b \(int64\)"),
        ({"image": [{"path": "x"}], "label": [1]}, r"image \(struct<path: string>\)"),
    ],
)
def test_columns_that_do_not_say_what_they_are(tmp_path, columns, found):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=rf"a\.parquet: expected a column of image bytes .*found .*{found}"):
        open_images(tmp_path / "a.parquet")


def test_files_of_other_columns_and_rows_without_any_label(tmp_path):
    write(tmp_path / "a.parquet")
    write(tmp_path / "b.parquet", label_name="cls")
    with pytest.raises(DataError, match=r"b\.parquet: the columns differ from those of .*a\.parquet"):
        open_images(tmp_path)
    with pytest.raises(DataError, match="no row has a label"):
        open_images(write(tmp_path / "c" / "c.parquet", labels=[None] * 20, label_type=pa.int64()))
    with pytest.raises(DataError, match="the column label cannot be read"):
        open_images(write(tmp_path / "d.parquet", labels=[2**64 - 1] * 20, label_type=pa.uint64()))


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r'parquet files needs pyarrow: pip install "facemargin\[parquet\]"'):
        open_images(path)


def test_more_rows_than_bytes_are_refused(tmp_path):
    """Equal rows take next to nothing, and would fill the memory."""
    path = write(
        tmp_path / "a.parquet", [{"bytes": b"x", "path": None}] * 300_000, [0] * 300_000, row_group_size=300_000
    )
    assert path.stat().st_size < 300_000
    with pytest.raises(DataError, match=r"a\.parquet: the file is too small for 300,000 rows"):
        open_images(path)


def test_texts_without_a_label_are_left_out(tmp_path):
    labels = ["-1" if number == 0 else "" if number == 1 else None if number == 2 else "1_2" for number in range(20)]
    faces = open_images(write(tmp_path / "a.parquet", labels=labels))
    assert len(faces) == 17 and faces.num_unlabeled == 3 and faces.identity_names == ["1_2"]


def test_files_whose_numbers_are_other_people_are_refused(tmp_path):
    for name, names in (("a", ["Ann", "Bob", "Cem"]), ("b", ["Dan", "Eve", "Fay"])):
        write(tmp_path / "data" / f"{name}.parquet", names=names)
    with pytest.raises(DataError, match=r"b\.parquet: the names of the labels differ from those of .*a\.parquet"):
        open_images(tmp_path)


def test_several_splits_in_a_folder_are_said(tmp_path, caplog):
    write(tmp_path / "data" / "train-0.parquet")
    open_images(tmp_path)
    assert not caplog.text
    write(tmp_path / "data" / "test-0.parquet")
    assert len(open_images(tmp_path)) == 40
    assert (
        f"all of which are read: test, train. To read one of them, use a pattern: {tmp_path}/data/train-*"
        in caplog.text
    )
