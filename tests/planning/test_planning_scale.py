"""What embedding very many images takes, and a gallery of very many people, computed again from measured figures."""

import math
import sqlite3

import numpy as np
import pytest

from facemargin.errors import ConfigError
from facemargin.gallery.folder_files import row_files
from facemargin.gallery.row_file import HEADER_BYTES
from facemargin.gallery.tables import TABLES_FILE, Tables
from facemargin.planning.hardware import find_hardware
from facemargin.planning.scale import EmbeddingJob, GalleryJob, plan_embedding, plan_gallery

JOB = {
    "images": 10**9,
    "backbone": "ir_50",
    "embedding_size": 512,
    "hardware": find_hardware("h100"),
    "gpus": 8,
    "gpus_per_node": 8,
}
GALLERY = {"people": 10**8, "images_per_person": 3, "embedding_size": 512, "machine_memory": 200e9}


def lines(job, **changes):
    of = plan_embedding if job is JOB else plan_gallery
    made = EmbeddingJob if job is JOB else GalleryJob
    return {line.what: line for line in of(made(**job | changes))}


def test_a_thousand_million_images_on_the_measured_device():
    found = lines(JOB)
    assert (found["one H100"].value, found["one H100"].how) == (2983, "measured")
    assert found["8 GPUs"].value == pytest.approx(10**9 / (8 * 2983) / 3600)
    assert found["machines"].value == 1
    assert found["GPUs to be done in a day"].value == 4  # 3.88
    assert found["cores that read for the GPUs"].value == 3  # 8 · 2,983 of 9,116 each
    assert found["features, norms, qualities"].value == 10**9 * (4 * 512 + 8)
    seconds = 1 / (43.5 / 2) + 1 / 9116  # two views
    assert found["without a GPU"].value == pytest.approx(10**9 * seconds / 3600)


def test_what_is_not_measured_is_derived_by_ratios_that_are_said():
    one = lines(JOB, views="one")["one H100"]
    assert (one.value, one.how) == (2 * 2983, "derived") and one.source.endswith("× 2 for one view")
    single = lines(JOB, precision="float32")["one H100"]
    assert (single.value, single.how) == (2036, "measured")
    v100 = lines(JOB, hardware=find_hardware("v100"))["one V100 32 GB"]
    assert v100.value == pytest.approx(2036 * 15.7 / 66.9) and "× 0.235 for the peak of V100 32 GB" in v100.source
    smaller = lines(JOB, backbone="ir_18")["one H100"]
    assert 2 < smaller.value / 2983 < 3 and "for the operations of ir_18" in smaller.source
    photographs = lines(JOB, detect=True)
    assert photographs["cores that read for the GPUs"].value == 2 * math.ceil(8 * 2983 / 15.4)
    assert "to read" not in photographs


def test_a_hundred_million_people():
    found = lines(GALLERY)
    assert found["templates, which are searched"].value == 10**8 * 2056
    assert found["vectors of the images"].value == 3 * 10**8 * 2048
    assert found["people and images in SQLite"].value == 10**8 * (87 + 3 * 134)
    assert found["on disk"].value == 10**8 * (2056 + 3 * 2048 + 87 + 3 * 134)
    assert found["machines that hold the templates"].value == 2
    assert found["searches of a core, many at a time"].value == pytest.approx(3728 / 24.8 / 2 / 100, rel=1e-3)


def test_the_bytes_are_those_of_a_gallery(tmp_path):
    """Of 2,000 people with 3 images each, written as a gallery writes them."""
    people, each = 2_000, 3
    files = row_files(tmp_path, 1, 512)
    files.images.create(np.zeros((people * each, 512), np.float32))
    files.templates.create(np.zeros((people, 512), np.float32))
    files.people.create(np.zeros((people, 1), np.int64))
    Tables.create(tmp_path / TABLES_FILE, "")
    time = "2026-11-27T13:00:00+00:00"
    with sqlite3.connect(tmp_path / TABLES_FILE) as connection:
        for person in range(1, people + 1):
            values = (f"person {person:09d}", person, 2**31 + person, time)
            connection.execute("INSERT INTO people (name, row, crc, enrolled) VALUES (?, ?, ?, ?)", values)
            for number in range(each):
                source = f"enrolled/person {person:09d}/{number:06d}.jpg"
                row = (person, person * each, 2**31, 21.5, 21.5, source, 2**61, "", time, "[]", 0)
                connection.execute(f"INSERT INTO images VALUES (NULL{', ?' * len(row)})", row)
    connection.close()
    found = lines(GALLERY, people=people, images_per_person=each)
    sizes = {path.suffix: 0 for path in tmp_path.iterdir()}
    for path in tmp_path.iterdir():
        sizes[path.suffix] += path.stat().st_size
    rows = found["templates, which are searched"].value + found["vectors of the images"].value
    assert sizes[".rows"] == rows + 3 * HEADER_BYTES
    assert sizes[".sqlite"] == pytest.approx(found["people and images in SQLite"].value, rel=0.1)


@pytest.mark.parametrize(
    ("job", "changes", "message"),
    [
        (JOB, {"images": 0}, "images is 0, expected at least 1"),
        (JOB, {"gpus": 0}, "gpus is 0"),
        (JOB, {"precision": "fp16"}, "models embed in bf16 or float32"),
        (JOB, {"hardware": find_hardware("cpu", tflops=1, memory=1, bandwidth=1)}, "give a GPU"),
        (JOB, {"hardware": find_hardware("v100"), "precision": "bf16"}, "does not compute in bf16"),
        (GALLERY, {"people": -1}, "people is -1, expected at least 1"),
        (GALLERY, {"machine_memory": float("nan")}, "machine_memory is nan"),
        (GALLERY, {"machine_memory": float("inf")}, "machine_memory is inf"),
    ],
)
def test_what_cannot_be_planned_is_refused(job, changes, message):
    with pytest.raises(ConfigError, match=message):
        lines(job, **changes)
