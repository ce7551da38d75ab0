import json
import multiprocessing

import numpy as np
import pytest

from facemargin.detection.face import Face
from facemargin.detection.journal import FaceJournal, ImageFaces
from facemargin.errors import DataError

SETTINGS = {"detector": "centerface", "min_score": 0.5}


def record(name, count=1, **changes):
    faces = tuple(
        Face((1.5, 2.0, 30.25, 40.0), 0.9, np.arange(10, dtype=np.float64).reshape(5, 2) + number)
        for number in range(count)
    )
    return ImageFaces(name, 640, 480, faces, **changes)


def assert_same(found, expected):
    assert found.to_json() == expected.to_json()


def test_what_was_noted_is_there_again(tmp_path):
    path = tmp_path / "new" / "journal"
    several, failed = record("a/b.jpg", 3, files=("x", "y", "z")), ImageFaces("na\udcffme.jpg", problem="empty")
    with FaceJournal(path, SETTINGS) as journal:
        assert journal.get("a/b.jpg") is None and len(journal) == 0
        journal.add(several)
        journal.add(failed)
        assert_same(journal.get("a/b.jpg"), several)
    with FaceJournal(path, SETTINGS) as journal:
        assert len(journal) == 2
        assert_same(journal.get("a/b.jpg"), several)
        assert_same(journal.get("na\udcffme.jpg"), failed)
        assert [one.name for one in journal.records(["na\udcffme.jpg", "other", "a/b.jpg"])] == [
            "na\udcffme.jpg",
            "a/b.jpg",
        ]


def test_the_last_note_of_an_image_counts(tmp_path):
    with FaceJournal(tmp_path / "j", SETTINGS) as journal:
        journal.add(ImageFaces("a", problem="cannot be read"))
        journal.add(record("b"))
        journal.add(record("a", 2))
        assert_same(journal.get("a"), record("a", 2))
    with FaceJournal(tmp_path / "j", SETTINGS) as journal:
        assert len(journal) == 2
        assert_same(journal.get("a"), record("a", 2))


def test_a_kill_at_any_byte_costs_the_line_it_fell_into(tmp_path):
    path = tmp_path / "j"
    with FaceJournal(path, SETTINGS) as journal:
        for name in "ab":
            journal.add(record(name))
    whole = path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        with FaceJournal(path, SETTINGS) as journal:
            assert len(journal) == max(0, sum(end <= size for end in ends) - 1)
            journal.add(record("c"))
        with FaceJournal(path, SETTINGS) as journal:
            assert_same(journal.get("c"), record("c"))


def test_other_settings_are_refused_and_nothing_is_lost(tmp_path):
    path = tmp_path / "j"
    with FaceJournal(path, SETTINGS) as journal:
        journal.add(record("a"))
    before = path.read_bytes()
    with pytest.raises(
        DataError, match=r"other settings \(min_score 0.5, not min_score 0.6\); use those settings, give another"
    ):
        FaceJournal(path, {**SETTINGS, "min_score": 0.6})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        b"garbage\n",
        b"[1]\n",
        b"\xff\xff\n",
        json.dumps(SETTINGS).encode() + b"\n{}\n",
        json.dumps(SETTINGS).encode() + b"\n3\n",
        *(
            json.dumps(SETTINGS).encode() + b"\n" + json.dumps(record("a").to_json() | changes).encode() + b"\n"
            for changes in (
                {"width": "wide"},
                {"height": float("inf")},
                {"files": ["x", "y"]},
                {"files": 3},
                {"faces": [{"box": [1, 2, 3], "score": 1, "landmarks": [0] * 10}]},
                {"faces": [{"box": [1, 2, 3, {}], "score": 1, "landmarks": [0] * 10}]},
                {"faces": [{"box": [1, 2, 3, 4], "score": {}, "landmarks": [0] * 10}]},
                {"faces": [{"box": [1, 2, 3, 4], "score": 1, "landmarks": [0] * 8}]},
            )
        ),
    ],
)
def test_what_is_no_journal_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "j"
    path.write_bytes(content)
    with pytest.raises(DataError, match=str(path)):
        FaceJournal(path, SETTINGS)
    assert path.read_bytes() == content


def _write_to(path, queue):
    try:
        FaceJournal(path, SETTINGS)
        queue.put("")
    except DataError as error:
        queue.put(str(error))


def test_one_process_at_a_time(tmp_path):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with FaceJournal(tmp_path / "j", SETTINGS):
        process = context.Process(target=_write_to, args=(tmp_path / "j", queue))
        process.start()
        assert "another process is writing to this file" in queue.get(timeout=900)
        process.join(60)
