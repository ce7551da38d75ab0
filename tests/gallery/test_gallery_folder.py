"""A gallery in a folder: killed, written by two, on a full disk, damaged, read while it is written."""

import json
import os
import random
import re
import shutil
import signal
import sqlite3
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from facemargin.errors import ConfigError, DataError, OutputError
from facemargin.gallery.folder_store import FolderStore
from facemargin.gallery.row_file import HEADER_BYTES, RowFile
from facemargin.gallery.tables import TABLES_FILE
from tests.gallery.galleries import SIZE, binding, enrolled, make_store, new_images, unit_vectors
from tests.gallery.killed import contents, events_of, kill_at
from tests.systems import posix_only

MEMORY = Path("/dev/shm")


def opened(folder, act):
    """`act(store)` on a store that is opened for it, as another process would."""
    store = FolderStore(folder)
    try:
        return act(store)
    finally:
        store.close()


def names_of(store):
    return {person.name for person in store.people()}


CHANGES = {
    "enrolling": lambda store: store.add({"ann": new_images(2, 5), "dan": new_images(3, 6)}),
    "removing a person": lambda store: store.remove_people(["ann"]),
    "removing images": lambda store: store.remove_images([1, 4]),
    "accepting": lambda store: store.accept([6]),
    "moving": lambda store: store.move_images([1, 2, 3, 6], "bob"),
    "compacting": lambda store: store.compact(),
}


@pytest.fixture
def tmp_path():
    """In memory where there is such a place: every change waits for the disk several times."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A gallery with everything in it: several images, some in review, dead rows."""
    folder = tmp_path_factory.mktemp("made") / "gallery"
    store = make_store(folder)
    store.add({"ann": new_images(3), "bob": new_images(2, 2), "cy": new_images(1, 3, in_review=True)})
    store.add({"eve": new_images(2, 4), "bob": new_images(1, 7)})
    store.remove_people(["eve"])
    store.close()
    return folder


def killed_at_moments(made, tmp_path, change, moments_of):
    """The gallery is as before or as after, can be searched, and the next change puts everything in order."""
    before, after = tmp_path / "before", tmp_path / "after"
    shutil.copytree(made, before)
    shutil.copytree(made, after)
    opened(after, CHANGES[change])
    states = [opened(folder, enrolled) for folder in (before, after)]
    shutil.copytree(made, tmp_path / "counted")
    seen = set()
    for moment in moments_of(events_of(lambda: opened(tmp_path / "counted", CHANGES[change]))):
        folder = tmp_path / f"killed_{moment}"
        shutil.copytree(made, folder)
        kill_at(lambda folder=folder: opened(folder, CHANGES[change]), moment)
        state = opened(folder, enrolled)
        assert state in states, f"{change}, killed at moment {moment}"
        seen.add(states.index(state))
        assert all("not erased yet" in problem for problem in opened(folder, lambda store: store.check()))
        opened(folder, lambda store: store.search(unit_vectors(1), 2))
        opened(folder, lambda store: store.add({"zoe": new_images(1, 99)}))
        assert opened(folder, lambda store: store.check()) == []
        kept = {person: images for person, images in opened(folder, enrolled).items() if person != "zoe"}
        assert kept == state
        names = {path.name for path in folder.iterdir()}
        assert len([name for name in names if name.endswith(".rows")]) == 3 and not any("partial" in n for n in names)
        shutil.rmtree(folder)
    return seen


@posix_only
@pytest.mark.parametrize("change", CHANGES)
def test_killed_at_any_moment(made, tmp_path, change):
    generator = random.Random(change)
    seen = killed_at_moments(made, tmp_path, change, lambda events: [events // 3, *generator.sample(range(events), 3)])
    assert seen


FIFTY = ("enrolling", "removing a person")


@posix_only
@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.long
def test_killed_at_fifty_moments(made, tmp_path, change):
    generator = random.Random(f"fifty of {change}")
    seen = killed_at_moments(
        made, tmp_path, change, lambda events: generator.sample(range(1, events), 50 if change in FIFTY else 12)
    )
    assert len(seen) == (1 if change == "compacting" else 2)  # before and after are both met


@posix_only
@pytest.mark.slow
@pytest.mark.long
def test_killed_from_outside(made, tmp_path):
    """At moments of the clock, within SQLite and the system's calls, too: all that was finished is there."""
    generator, folder = random.Random(5), tmp_path / "gallery"
    shutil.copytree(made, folder)
    expected = opened(folder, names_of)
    for number in range(50):
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            store = FolderStore(folder)
            for step in range(10_000):
                name = f"{number}-{step}"
                store.add({name: new_images(2, step)})
                os.write(theirs, f"+{name}\n".encode())
                if step % 3 == 0:
                    store.remove_people([name])
                    os.write(theirs, f"-{name}\n".encode())
            os._exit(0)
        os.close(theirs)
        os.read(ours, 1)  # it has begun
        threading.Event().wait(generator.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(ours) as file:
            done = ["+" + line if not place else line for place, line in enumerate(file.read().splitlines())]
        done[0] = done[0].replace("++", "+")
        for line in done:
            (expected.add if line[0] == "+" else expected.discard)(line[1:])
        found = opened(folder, names_of)
        last_step = int(done[-1].rpartition("-")[2])
        in_flight = {f"{number}-{last_step + 1}", f"{number}-{last_step}"}
        assert found ^ expected <= in_flight, found ^ expected
        expected = found
    opened(folder, lambda store: store.add({"zoe": new_images(1, 99)}))
    assert opened(folder, lambda store: store.check()) == []


def test_two_writers(made, tmp_path):
    folder = tmp_path / "gallery"
    shutil.copytree(made, folder)
    first, second = FolderStore(folder), FolderStore(folder)
    before = enrolled(second)
    with first.writing("enrolling"):
        with pytest.raises(
            OutputError, match=rf"written by process {os.getpid()} on .*, enrolling, since .*one process"
        ):
            second.add({"dan": new_images(1)})
        assert enrolled(second) == before  # reading goes on
    second.add({"dan": new_images(1)})
    assert "dan" in enrolled(first)
    first.close()
    second.close()


@posix_only
@pytest.mark.parametrize("change", ["enrolling", "removing a person", "accepting", "compacting"])
def test_a_full_disk(made, tmp_path, change):
    """A limit on the size of files stands for the disk, at sizes from nothing on: each change fails and leaves what was
    there, until one is done."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = _fill(made, tmp_path, change)
        except BaseException:
            import traceback

            (tmp_path / "failed").write_text(traceback.format_exc())
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0, (tmp_path / "failed").read_text()


def _fill(made, tmp_path, change):
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    refused = 0
    before = opened(made, enrolled)
    for limit in [*range(0, 1000, 200), *range(1000, 70_000, 9000), 10**8]:
        folder = tmp_path / f"limit_{limit}"
        shutil.copytree(made, folder)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            opened(folder, CHANGES[change])
            done = True
        except OutputError as error:
            done = False
            refused += 1
            assert str(folder) in str(error), error
            was_changed = "no longer count" in str(error)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        if not done and not was_changed:
            assert opened(folder, enrolled) == before, limit
        opened(folder, lambda store: store.add({"zoe": new_images(1, 99)}))
        assert opened(folder, lambda store: store.check()) == [], limit
    assert refused and done
    return 0


def test_bytes_are_gone(made, tmp_path):
    """Of a removed person no vector and no name is in any file."""
    folder = tmp_path / "gallery"
    shutil.copytree(made, folder)
    images = new_images(2, 50)
    vectors = [image.vector.tobytes() for image in images]
    store = FolderStore(folder)
    store.add({"Very Secret": images})
    template = store._current().templates_RD[-1].tobytes()
    everything = b"".join(contents(folder).values())
    assert all(part in everything for part in [*vectors, template, b"Very Secret", b"50/1.jpg"])
    store.add({"Very Secret": new_images(1, 51)})
    assert template not in b"".join(contents(folder).values())  # another one has replaced it
    store.remove_people(["Very Secret"])
    everything = b"".join(contents(folder).values())
    assert not any(part in everything for part in [*vectors, template, b"Very Secret", b"50/1.jpg"])
    store.close()


def test_compacting(made, tmp_path, monkeypatch):
    monkeypatch.setattr("facemargin.gallery.folder_writer._FEWEST_DEAD", 10)
    folder = tmp_path / "gallery"
    shutil.copytree(made, folder)
    reader, store = FolderStore(folder), FolderStore(folder)
    store.add({f"p{number}": new_images(1, number + 100) for number in range(40)})
    before = reader.search(unit_vectors(3, 1), 3)
    store.remove_people([f"p{number}" for number in range(35)])  # more are dead than not: done by itself
    sizes = {path.name: path.stat().st_size for path in folder.glob("*.rows")}
    images = store.counts()[1] + store.counts()[2]
    assert sizes["images-000002.rows"] == HEADER_BYTES + images * SIZE * 4 and len(sizes) == 3
    assert store.check() == [] and enrolled(reader) == enrolled(store)
    after = reader.search(unit_vectors(3, 1), 3)
    expected = store.search(unit_vectors(3, 1), 3)
    assert np.array_equal(after.people_PK, expected.people_PK) and not np.array_equal(before.people_PK, after.people_PK)
    reader.close()
    store.close()


def test_readers_while_writing(made, tmp_path):
    """Every answer is one of a whole gallery: somebody is enrolled with the template that belongs to the images."""
    folder = tmp_path / "gallery"
    shutil.copytree(made, folder)
    images = new_images(1, 60)
    probe, wrong, stop = images[0].vector, [], threading.Event()

    def read() -> None:
        store, seen = FolderStore(folder), 0
        while not stop.is_set() or not seen:
            found = store.search(probe[None], 1)
            best = store.person_names(found.people_PK[0].tolist()) if found.people_PK[0, 0] in known else ["away"]
            if found.scores_PK[0, 0] > 0.999 and best != ["dan"] and best != ["away"]:
                wrong.append(best)
            seen += 1
        store.close()

    store = FolderStore(folder)
    known = set(store.person_numbers(["ann", "bob", "cy"]))
    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(12):
        store.add({"dan": images, "other": new_images(2, number + 200)})
        store.remove_people(["dan"] if number % 2 else ["dan", "other"])
        if number % 4 == 0:
            store.compact()
    stop.set()
    for reader in readers:
        reader.join(timeout=60)
    assert not wrong and store.check() == []
    store.close()


def _flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 0x40
    path.write_bytes(bytes(content))


def _run_sql(*statements):
    def damage(folder):
        connection = sqlite3.connect(folder / TABLES_FILE)
        with connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()

    return damage


DAMAGES = {
    "a value of an image": (
        lambda folder: _flip(folder / "images-000001.rows", HEADER_BYTES + 4 * SIZE + 2),
        r"images-000001.rows: row 1 is not what was written",
    ),
    "a value of a template": (
        lambda folder: _flip(folder / "templates-000001.rows", HEADER_BYTES + 2),
        r"templates-000001.rows: row 0 is not what was written",
    ),
    "who a template is of": (
        lambda folder: _flip(folder / "people-000001.rows", HEADER_BYTES + 1),
        r"people-000001.rows: row 0 is of person 16385, expected 1",
    ),
    "a checksum that is not that of a unit vector": (
        lambda folder: (
            RowFile(folder / "images-000001.rows", "<f4", SIZE).write(0, np.full((1, SIZE), np.nan)),
            _run_sql("UPDATE images SET crc = 1511543427 WHERE row = 0")(folder),
        ),
        "images-000001.rows: row 0",
    ),
    "an erased row": (
        lambda folder: _flip(folder / "images-000001.rows", HEADER_BYTES + 6 * 4 * SIZE),
        r"images-000001.rows: row 6 was erased, but is not zero \(1 such row\)",
    ),
    "a row of two images": (_run_sql("UPDATE images SET row = 0 WHERE row = 1"), r"row 0 of the images belongs to 2"),
    "a row too far": (_run_sql("UPDATE images SET row = 99 WHERE row = 1"), r"none of the 9 that count"),
    "a person without a template": (_run_sql("UPDATE people SET row = NULL WHERE id = 1"), "row 0 of the templates"),
    "an image of nobody": (_run_sql("UPDATE images SET person = 77 WHERE id = 1"), "image 1 is of a person who is not"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_check_finds(made, tmp_path, kind):
    folder = tmp_path / "gallery"
    shutil.copytree(made, folder)
    damage, says = DAMAGES[kind]
    damage(folder)
    problems = opened(folder, lambda store: store.check())
    assert any(re.search(says, problem) for problem in problems), problems


UNREADABLE = {
    "no file": (lambda folder: (folder / TABLES_FILE).unlink(), "is no gallery"),
    "another file": (lambda folder: (folder / TABLES_FILE).write_bytes(b"x" * 5000), "not a database"),
    "no tables": (lambda folder: _run_sql("DROP TABLE dead")(folder), "has not the tables"),
    "a trigger": (
        _run_sql("CREATE TRIGGER t AFTER INSERT ON people BEGIN DELETE FROM images; END"),
        "has not the tables",
    ),
    "no binding": (_run_sql("DELETE FROM about"), "table about"),
    "another format": (_run_sql("""UPDATE about SET content = '{"format": "other"}'"""), "format is 'other'"),
    "a text for a count": (_run_sql("UPDATE state SET image_rows = 'many'"), "table state"),
    "no vectors": (lambda folder: (folder / "images-000001.rows").unlink(), "images-000001.rows cannot be read"),
    "short vectors": (
        lambda folder: os.truncate(folder / "templates-000001.rows", HEADER_BYTES + 100),
        "ends before row 1",
    ),
    "another header": (lambda folder: _flip(folder / "people-000001.rows", 3), "people-000001.rows begins with"),
    "more rows than there are": (_run_sql("UPDATE state SET template_rows = 1000"), "ends before row 4"),
    "a dead row too far": (_run_sql("INSERT INTO dead VALUES ('template', 99, 1)"), "row 99 of the templates"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_damaged_is_refused(made, tmp_path, kind):
    folder = tmp_path / "gallery"
    shutil.copytree(made, folder)
    damage, says = UNREADABLE[kind]
    damage(folder)
    with pytest.raises(DataError, match=says) as raised:
        opened(folder, lambda store: store.search(unit_vectors(1), 1))
    assert str(folder) in str(raised.value)


def test_what_is_in_the_way(made, tmp_path):
    with pytest.raises(ConfigError, match="exists already"):
        make_store(made)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        FolderStore.create(tmp_path / "file" / "gallery", binding())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@posix_only
@pytest.mark.parametrize("put", [False, True], ids=["deleted", "replaced"])
def test_another_gallery_in_its_place(made, tmp_path, put):
    """What is still open answers nothing, and above all changes no file of the gallery that took its place."""
    folder, older = tmp_path / "gallery", tmp_path / "older"
    shutil.copytree(made, folder)
    store = FolderStore(folder)
    folder.rename(older)
    if put:
        shutil.copytree(made, folder)
        opened(folder, lambda newer: newer.add({"eve": new_images(9, 7)}))
    uses = {
        "search": lambda: store.search(unit_vectors(1), 1), "people": lambda: names_of(store), "counts": store.counts,
        "state": store.state, "numbers": lambda: store.person_numbers(["ann"]), "vectors": lambda: store.vectors([1]),
        **{doing: lambda change=change: change(store) for doing, change in CHANGES.items()},
    }  # fmt: skip
    try:
        for doing, use in uses.items():
            with pytest.raises((DataError, OutputError), match=r"put in its place|cannot be written") as refused:
                use()
            assert str(folder) in str(refused.value), doing
    finally:
        store.close()
    assert opened(older, lambda found: found.check()) == []
    if put:
        assert opened(folder, lambda found: found.check()) == []
        assert "eve" in opened(folder, names_of)


def test_the_binding_is_kept(made):
    assert opened(made, lambda store: store.binding) == binding()
    content = json.loads(binding().to_json())
    for field, value in (("size", 3), ("views", "none at all"), ("quality_helps", 1), ("fingerprint", ["a"]), ("x", 1)):
        with pytest.raises(ValueError, match=field):
            type(binding()).from_json(json.dumps(content | {field: value}))
