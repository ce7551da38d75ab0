"""A gallery in Milvus: stopped at any moment, on a server, in use, damaged, with two writers."""

import contextlib
import os
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("milvus_lite", reason='pip install "facemargin[milvus]"')

from facemargin.errors import ConfigError, DataError, OutputError
from facemargin.gallery.milvus_place import milvus_place
from facemargin.gallery.milvus_store import MilvusStore
from tests.gallery.galleries import SIZE, binding, enrolled, make_milvus_store, make_store, new_images, unit_vectors
from tests.processes import Program
from tests.systems import posix_only


class StoppedHere(BaseException):
    """In place of a signal: nothing that comes after it reaches Milvus."""


class Stopping:
    """A client that does nothing more before its call number `moment`, or right after it."""

    def __init__(self, client, moment=None, after=False):
        self._client, self.calls, self._moment, self._after = client, 0, moment, after

    def __getattr__(self, name):
        method = getattr(self._client, name)
        if name not in ("upsert", "delete"):
            return method

        def call(*args, **more):
            self.calls += 1
            if self._moment is not None and self.calls >= self._moment + self._after:
                raise StoppedHere
            return method(*args, **more)

        return call


CHANGES = {
    "enrolling": lambda store: store.add({"ann": new_images(2, 5), "dan": new_images(3, 6)}),
    "removing a person": lambda store: store.remove_people(["ann"]),
    "removing images": lambda store: store.remove_images([1, 4]),
    "accepting": lambda store: store.accept([6]),
    "moving": lambda store: store.move_images([1, 2, 3, 6], "bob"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A gallery with everything in it: several images, some in review, people who were removed."""
    path = tmp_path_factory.mktemp("made") / "gallery"
    store = make_milvus_store(path)
    store.add({"ann": new_images(3), "bob": new_images(2, 2), "cy": new_images(1, 3, in_review=True)})
    store.add({"eve": new_images(2, 4), "bob": new_images(1, 7)})
    store.remove_people(["eve"])
    store.close()
    return path.with_suffix(".db")


def copied(made, folder):
    place = folder / "gallery.db"
    shutil.copytree(made, place)
    return MilvusStore(milvus_place(f"milvus:{place}"))


def stopped_at(made, folder, change, moments):
    """The gallery is as before or as after, and the next change puts everything in order."""
    before = copied(made, folder / "before")
    states = [enrolled(before)]
    before.close()
    after = copied(made, folder / "after")
    after._tables._client = counting = Stopping(after._tables._client)
    CHANGES[change](after)
    states.append(enrolled(after))
    after.close()
    seen = set()
    for moment, after_it in moments(counting.calls):
        place = folder / f"{moment}_{after_it}"
        store = copied(made, place)
        whole = store._tables._client
        store._tables._client = Stopping(whole, moment, after_it)
        with pytest.raises(StoppedHere):
            CHANGES[change](store)
            raise StoppedHere  # where the last moment is after everything
        store._tables._client = whole
        store.close()
        again = MilvusStore(milvus_place(f"milvus:{place}/gallery.db"))
        state = enrolled(again)
        assert state in states, f"{change}, stopped at call {moment}"
        seen.add(states.index(state))
        assert again.check() == []
        again.search(unit_vectors(1), 2)
        again.add({"zoe": new_images(1, 99)})
        assert {name: images for name, images in enrolled(again).items() if name != "zoe"} == state
        left = sum(again._tables.count(kind, "row >= 0") for kind in ("images", "people"))
        assert left == sum(again._tables.count(kind, f"died == {2**62}") for kind in ("images", "people"))
        again.close()
    return seen


def test_stopped_before_and_after_it_counts(made, tmp_path):
    assert stopped_at(made, tmp_path, "enrolling", lambda calls: [(2, True), (calls - 1, True)]) == {0, 1}


@pytest.mark.slow
@pytest.mark.long
def test_stopped_at_every_call(made, tmp_path):
    moments = lambda calls: [(call, after) for call in range(1, calls + 1) for after in (False, True)]  # noqa: E731
    assert stopped_at(made, tmp_path, "moving", moments) == {0, 1}


WRITER = """
import sys
from pathlib import Path
from facemargin.gallery.milvus_place import milvus_place
from facemargin.gallery.milvus_store import MilvusStore
from tests.gallery.galleries import new_images
store = MilvusStore(milvus_place(sys.argv[1]))
for step in range(10_000):
    store.add({f"p{step}": new_images(3, step + 10)})
    print(step)
"""


@pytest.mark.slow
@posix_only
def test_a_file_that_is_taken_away_is_not_answered_from(made, tmp_path):
    with contextlib.closing(copied(made, tmp_path)) as store:
        assert store.counts()[0] == 2
        store.place.path.rename(tmp_path / "taken.db")
        for ask in (store.counts, lambda: store.search(new_images(1)[0].vector[None], 2)):
            with pytest.raises(DataError, match="was deleted, or another one was put in its place"):
                ask()
        shutil.copytree(tmp_path / "taken.db", store.place.path)
        with pytest.raises(DataError, match="another one was put in its place"):
            store.add({"dan": new_images(1, 6)})
        with pytest.raises(DataError, match="another one was put in its place"):
            MilvusStore(store.place)
    with contextlib.closing(MilvusStore(store.place)) as again:
        assert again.counts()[0] == 2 and not again.check()


@pytest.mark.long
def test_killed(made, tmp_path):
    """What was said to be enrolled is there after SIGKILL, and nobody is there in part."""
    store = copied(made, tmp_path)
    store.close()
    (tmp_path / "writer.py").write_text(WRITER)
    address = store.name
    program = Program(tmp_path / "writer.py", address, environment={"PYTHONPATH": os.pathsep.join(sys.path)})
    while "5\n" not in program.written() and program.poll() is None:
        time.sleep(0.05)
    with pytest.raises(OutputError, match="another process has it open"):
        MilvusStore(milvus_place(address))
    program.kill()
    program.wait()
    said = len(program.written().splitlines())
    store = MilvusStore(milvus_place(address))
    new = [person for person in store.people() if person.name.startswith("p")]
    assert said <= len(new) <= said + 1 and all(person.images == 3 for person in new)
    assert store.check() == []
    store.close()


@pytest.fixture
def server(tmp_path):
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    running, database, port = start_server_in_thread(data_dir=str(tmp_path / "served"), host="127.0.0.1", port=0)
    yield f"milvus:http://127.0.0.1:{port}"
    running.stop(grace=0)
    database.close()


def test_on_a_server(server, tmp_path, monkeypatch):
    """Two galleries on one server, each as in a folder; a second writer is refused; one that was pushed out stops."""
    staff = MilvusStore.create(milvus_place(f"{server}/staff"), binding())
    other = MilvusStore.create(milvus_place(Path(server)), binding())
    local = make_store(tmp_path / "local")
    people = {"ann": new_images(3), "bob": new_images(2, 2)}
    for store in (staff, local):
        store.add(people)
        store.remove_images([2])
    assert enrolled(staff) == enrolled(local) and staff.state() == local.state() and enrolled(other) == {}
    with pytest.raises(ConfigError, match="exists already: give another name"):
        MilvusStore.create(milvus_place(f"{server}/staff"), binding())
    second = MilvusStore(milvus_place(f"{server}/staff"))
    with staff.writing("enrolling"):
        with pytest.raises(OutputError, match=r"is being written by process \d+ on .*enrolling.* nothing has changed"):
            second.add({"eve": new_images(1)})
        monkeypatch.setattr("facemargin.gallery.milvus_lease.time", SimpleNamespace(time=later, sleep=lambda _: None))
        second.remove_people(["bob"])  # the first one was silent for too long
        monkeypatch.undo()
        with pytest.raises(OutputError, match="has begun to write"):
            staff.add({"eve": new_images(1)})
    assert set(enrolled(staff)) == {"ann"} and staff.check() == []
    for store in (staff, other, second, local):
        store.close()


def later():
    return time.time() + 1000


def test_more_alike_than_milvus_can_tell(tmp_path, monkeypatch):
    """People whose products in float32 are equal, more than are asked for at first, in the order of ours."""
    store = make_milvus_store(tmp_path / "gallery")
    images = new_images(60)
    center = images[0].vector.astype(np.float64)
    vectors = center + 1e-8 * np.random.default_rng(0).normal(size=(60, len(center)))
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    for image, vector in zip(images, vectors.astype(np.float32), strict=True):
        object.__setattr__(image, "vector", vector)
    store.add({f"p{place:02}": [image] for place, image in enumerate(images)})
    found = store.search(images[0].vector[None], 3)
    scores = [float(np.dot(image.vector.astype(np.float64), images[0].vector)) for image in images]
    order = sorted(range(60), key=lambda place: (-scores[place], place))[:3]
    assert store.person_names(found.people_PK[0].tolist()) == [f"p{place:02}" for place in order]
    assert found.scores_PK[0].tolist() == [scores[place] for place in order]
    monkeypatch.setattr("facemargin.gallery.milvus_store.MOST_FOUND", 30)
    with pytest.raises(DataError, match="more than 30 people have the same score"):
        store.search(images[0].vector[None], 3)
    store.close()


def test_more_rows_than_milvus_finds_at_once(made, tmp_path, monkeypatch):
    store = copied(made, tmp_path)
    at_once = enrolled(store)
    monkeypatch.setattr("facemargin.gallery.milvus_tables.MOST_FOUND", 2)
    monkeypatch.setattr("facemargin.gallery.milvus_tables._AT_A_TIME", 2)
    assert enrolled(store) == at_once and store.check() == []
    store.close()


def test_what_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"there is no .*nothing\.db"):
        MilvusStore(milvus_place(f"milvus:{tmp_path}/nothing.db"))
    assert not list(tmp_path.iterdir())
    store = make_milvus_store(tmp_path / "gallery")
    with pytest.raises(ConfigError, match="exists already: give a new file"):
        make_milvus_store(tmp_path / "gallery")
    with pytest.raises(ConfigError, match="65,536 bytes, expected at most 65,535"):
        store.add({"x" * 65_536: new_images(1)})
    store._tables.delete("about", [0])
    with pytest.raises(DataError, match="is no gallery"):
        store.add({"ann": new_images(1)})
    store.close()


DAMAGES = {
    "a value of an image": ("images", {"vector": [0.5] * SIZE}, "image 1 is not what was written"),
    "an image of nobody": ("images", {"person": 77}, "image 1 is of a person who is not there"),
    "an image twice": ("images", {"row": 999}, "image 1 is there 2 times"),
    "reasons that are none": ("images", {"reasons": "[1"}, "image 1: "),
    "a template": ("people", {"vector": [0.5] * SIZE}, "the template of person 1 is not what was written"),
    "a person without a template": ("people", {"has_template": False, "vector": [0.0] * SIZE}, "and no template"),
    "a name that is not its digest's": ("people", {"name": "mallory"}, "cannot be found by name"),
}


def test_a_check_finds(made, tmp_path):
    store = copied(made, tmp_path)
    for kind, (where, values, says) in DAMAGES.items():
        (row,) = store._tables.rows(where, f"{'number' if where == 'images' else 'person'} == 1", ["*"])
        store._tables.insert(where, [row | values])
        problems = store.check()
        assert any(says in problem for problem in problems), (kind, problems)
        store._tables.delete(where, [999])
        store._tables.insert(where, [row])
        assert store.check() == []
    store.close()


@pytest.mark.parametrize(
    ("given", "uri", "name"),
    [
        ("milvus:a/b.db", "a/b.db", "gallery"),
        ("milvus:http://host:19530", "http://host:19530", "gallery"),
        (Path("milvus:https://host:443/staff"), "https://host:443", "staff"),
    ],
)
def test_addresses(given, uri, name):
    place = milvus_place(given)
    assert (place.uri, place.name, place.is_file) == (uri, name, uri.endswith(".db"))


WRONG = ["milvus:", "milvus:a", "milvus:ftp://host/a.db", "milvus:http://u:secret@host:1", "milvus:http://h:1/a b"]


@pytest.mark.parametrize("given", WRONG)
def test_what_is_no_address(given):
    with pytest.raises(ConfigError, match="expected") as raised:
        milvus_place(given)
    assert "MILVUS_TOKEN" in str(raised.value) or "letters" in str(raised.value)
