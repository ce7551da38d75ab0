"""A set with planted errors, audited, decided on, cleaned and read back."""

import csv
import json
import time

import numpy as np
import pytest

import facemargin as fm
from facemargin.auditing.decisions import write_decisions
from facemargin.data.open import open_images
from tests.auditing.audits import audit_of_faces
from tests.commands.face_folder import write_faces
from tests.processes import Program


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """(faces, folder of the audit): three people with three images each."""
    folder = tmp_path_factory.mktemp("audited")
    write_faces(folder / "faces", range(1, 4))
    audit_of_faces(open_images(folder / "faces")).save(folder / "audit")
    return folder / "faces", folder / "audit"


def content(folder):
    """Every image's person and bytes."""
    faces = open_images(folder)
    return sorted((faces.identity_names[faces.labels[i]], faces.read_encoded(i)) for i in range(len(faces)))


def decide(audit, path, *, accept=(), reject=()):
    findings = {finding.kind: finding for finding in fm.load_audit(audit)}
    write_decisions([(findings[kind], kind in accept) for kind in (*accept, *reject)], path)
    return path


@pytest.mark.parametrize("to", ["folder", "recordio", "webdataset", "parquet", "list"])
def test_the_log_leads_from_every_image_to_what_became_of_it(command, audited, tmp_path, to):
    faces, audit = audited
    before = content(faces)
    kinds = ("mislabelled", "duplicate", "unrecognisable", "merged")
    decisions = decide(audit, tmp_path / "d.csv", accept=kinds, reject=("no_face",))
    code, out, err = command(
        "data", "clean", faces, "--audit", audit, "--decisions", decisions, "--mislabelled", "move", "--output",
        tmp_path / "new", "--to", to,
    )  # fmt: skip
    assert code == 0 and err == ""
    assert out.splitlines() == [
        "4 findings accepted: 4 by hand",
        "2 images dropped",
        "1 image moved to another person",
        "1 image put under a new label",
        f"7 images of 4 people written as {to}, read back and the same; {tmp_path}/new",
        f"what became of every image, and why: {tmp_path}/new/cleaning.csv",
    ]
    assert content(faces) == before  # the set itself is not touched
    old, new = open_images(faces), open_images(tmp_path / "new")
    old_of = {old.describe(index): index for index in range(len(old))}
    new_of = {new.describe(index): index for index in range(len(new))}
    with (tmp_path / "new" / "cleaning.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == list(old_of) and len(new_of) == 7
    assert {row["new_path"] for row in rows} == {*new_of, ""}
    for row in rows:
        if row["new_path"]:
            place = new_of[row["new_path"]]
            assert new.read_encoded(place) == old.read_encoded(old_of[row["path"]])
            assert new.identity_names[new.labels[place]] == row["new_label"]
    done = [(row["action"], row["label"], row["new_label"]) for row in rows]
    assert done == [
        ("moved", "s1", "s2"), ("dropped", "s1", ""), ("kept", "s1", "s1"),
        ("kept", "s2", "s2"), ("dropped", "s2", ""), ("kept", "s2", "s2"),
        ("separated", "s3", "s3 (2)"), ("kept", "s3", "s3"), ("kept", "s3", "s3"),
    ]  # fmt: skip
    assert rows[1]["why"] == f"duplicate ({decisions}, line 3): the same picture" and rows[2]["why"] == ""
    about = json.loads((tmp_path / "new" / "cleaning.json").read_text())
    assert about["source"] == str(faces) and about["settings"]["mislabelled"] == "move"
    assert [one["kind"] for one in about["accepted"]] == list(kinds) and about["images"]["kept"] == 5


def test_by_score(command, audited, tmp_path):
    faces, audit = audited
    arguments = ["data", "clean", faces, "--audit", audit, "--to", "folder"]
    code, out, err = command(*arguments, "--accept-from", 0.95, "--output", tmp_path / "new")
    assert code == 0 and "4 findings accepted: 0 by hand, 4 by score" in out and err == ""
    assert [name for name, _ in content(tmp_path / "new")] == ["s1"] * 4 + ["s2"] * 2
    code, out, err = command(*arguments, "--accept-from", 0.3, "--output", tmp_path / "all")
    assert code == 0 and "6 findings accepted: 0 by hand, 6 by score, 1 not applied" in out
    assert "warning: not applied: score 0.3 (merged " in err and "(split " in err
    code, out, _ = command(*arguments, "--accept-from", 0.3, "--kinds", "no_face", "--output", tmp_path / "few")
    assert code == 0 and "1 finding accepted" in out and len(content(tmp_path / "few")) == 8
    decisions = decide(audit, tmp_path / "d.csv", reject=("no_face",))
    code, _, err = command(
        *arguments, "--decisions", decisions, "--accept-from", 0.3, "--kinds", "no_face", "--output", tmp_path / "x"
    )
    assert code == 2 and "no finding is accepted, so that nothing would change" in err
    assert "no undecided finding of the kinds no_face has a score of 0.3 or above" in err


def test_a_cleaning_that_was_interrupted_goes_on_with_the_same_decisions_only(command, audited, tmp_path, monkeypatch):
    faces, audit = audited
    arguments = ["data", "clean", faces, "--audit", audit, "--to", "folder", "--output", tmp_path / "new"]
    with monkeypatch.context() as patch:
        patch.setattr("facemargin.commands._data_clean.write_log", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            command(*arguments, "--accept-from", 0.96)
    assert (tmp_path / "new.partial").is_dir() and not (tmp_path / "new").exists()
    decisions = decide(audit, tmp_path / "d.csv", accept=("mislabelled", "no_face", "duplicate"))
    code, _, err = command(*arguments, "--decisions", decisions)  # as many images of each person, but others
    assert code == 2 and "belongs to another conversion" in err
    assert command(*arguments, "--accept-from", 0.96)[0] == 0
    assert (tmp_path / "new" / "cleaning.csv").is_file() and len(content(tmp_path / "new")) == 6
    assert not (tmp_path / "new.partial").exists()


def test_unreadable_images_are_in_the_log(command, tmp_path):
    paths = write_faces(tmp_path / "faces", range(1, 4))
    paths[8].write_bytes(b"nothing")
    audit_of_faces(open_images(tmp_path / "faces")).save(tmp_path / "audit")
    code, out, err = command(
        "data", "clean", tmp_path / "faces", "--audit", tmp_path / "audit", "--accept-from", 0.97, "--output",
        tmp_path / "new",
    )  # fmt: skip
    assert code == 0 and "6 images of 3 people" in out and "warning: 1 image cannot be read" in err
    last = (tmp_path / "new" / "cleaning.csv").read_text().splitlines()[-1]
    assert last == f"{paths[8]},s3,unreadable,,,"


def test_the_page_is_written_into_the_folder_of_the_audit(command, audited):
    faces, audit = audited
    code, out, err = command("data", "review", faces, "--audit", audit, "--most", 5)
    assert code == 0 and out.startswith("5 findings, 0.") and out.endswith(f" MB: {audit}/audit.html\n")
    assert err == "note: not shown: 1 of 6 findings; --most shows more\n"
    assert (audit / "audit.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clean", "FACES", "--output", "x"], "give --decisions decisions.csv, which the page of the audit saves"),
        (["clean", "FACES", "--output", "x", "--accept-from", "0.9"], "add --audit DIR, the folder with findings.csv"),
        (["clean", "FACES", "--output", "x", "--audit", "AUDIT", "--accept-from", "nan"], "--accept-from is nan"),
        (
            ["clean", "FACES", "--output", "x", "--audit", "AUDIT", "--accept-from", "0.9", "--kinds", "duplicates"],
            "--kinds: unknown kind 'duplicates'; did you mean 'duplicate'",
        ),
        (["clean", "orl:1-3", "--output", "x", "--audit", "AUDIT", "--accept-from", "0.9"], "not the set that was"),
        (["clean", "FACES", "--output", "x", "--decisions", "nowhere/d.csv"], "nowhere"),
        (["clean", "FACES", "--output", "FACES", "--audit", "AUDIT", "--accept-from", "0.9"], "exists already"),
        (["review", "orl:1-3", "--audit", "AUDIT"], "not the set that was audited"),
        (["review", "FACES", "--audit", "AUDIT", "--most", "0"], "--most is 0, expected 1 or more"),
    ],
)
def test_mistakes(command, audited, arguments, message):
    named = {"FACES": audited[0], "AUDIT": audited[1]}
    code, out, err = command("data", *(named.get(argument, argument) for argument in arguments))
    assert code == 2 and out == "" and message in err


@pytest.mark.slow
@pytest.mark.parametrize("to", ["folder", "recordio"])
def test_killed_at_any_moment_it_continues_and_the_set_is_as_it_was(tmp_path, to):
    write_faces(tmp_path / "faces", range(1, 41))
    faces, audit = tmp_path / "faces", tmp_path / "audit"
    audit_of_faces(open_images(faces)).save(audit)
    before = content(faces)
    arguments = [
        "data",
        "clean",
        faces,
        "--audit",
        audit,
        "--accept-from",
        "0.9",
        "--kinds",
        "duplicate,unrecognisable",
    ]
    arguments += ["--to", to, "--output"]
    whole = Program("-m", "facemargin", *arguments, tmp_path / "whole")
    began = time.monotonic()
    assert whole.wait() == 0, whole.communicate()
    seconds = time.monotonic() - began
    expected = content(tmp_path / "whole")
    assert len(expected) < len(before)
    killed = 0
    for moment in np.random.default_rng(0).uniform(0.2, 1, 3):
        program = Program("-m", "facemargin", *arguments, tmp_path / "new")
        time.sleep(seconds * moment)
        program.kill()
        killed += program.wait() != 0
        assert content(faces) == before
        assert not (tmp_path / "new" / "cleaning.csv").exists() or content(tmp_path / "new") == expected
    assert killed
    if not (tmp_path / "new" / "cleaning.csv").exists():
        assert Program("-m", "facemargin", *arguments, tmp_path / "new").wait() == 0
    assert content(tmp_path / "new") == expected
    with (tmp_path / "new" / "cleaning.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(before)
