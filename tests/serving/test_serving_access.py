"""Who may do what, what is recorded of it, and what is not logged."""

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

import facemargin as fm
from facemargin.errors import OutputError
from facemargin.serving.app import create_app
from facemargin.serving.audit_log import AuditLog
from facemargin.serving.keys import KeyFile, create_key, read_keys, revoke_key
from tests.serving.asking import ask_raw, client_of, code_of, images
from tests.systems import posix_only

PEOPLE, IDENTIFY = "/v1/galleries/staff/people", "/v1/galleries/staff/identify"


@pytest.fixture
def keys(tmp_path):
    """A file of keys, a key that reads, and one that writes."""
    path = tmp_path / "keys.json"
    return path, create_key(path, "desk", ("read",)), create_key(path, "office", ("write", "read"))


def bearer(key):
    return {"authorization": f"Bearer {key}"}


def test_a_key_allows_what_it_says_until_it_is_revoked(parts, staff, keys):
    path, desk, office = keys
    with client_of(parts, galleries={"staff": staff}, keys=KeyFile(path)) as client:
        for headers in ({}, {"authorization": desk}, {"authorization": f"Basic {desk}"}, bearer(desk[:-1]), bearer("")):
            refused = client.get(PEOPLE, headers=headers)
            assert code_of(refused) == (401, "no_key") and refused.headers["www-authenticate"] == "Bearer"
        assert client.get(PEOPLE, headers=bearer(desk)).status_code == 200
        assert client.get("/healthz").status_code == 200
        assert code_of(client.get("/metrics")) == (401, "no_key")
        refused = client.post(PEOPLE, files=images(parts.png[30]), data={"person": "Eve"}, headers=bearer(desk))
        assert code_of(refused) == (403, "not_allowed")
        assert code_of(client.delete(f"{PEOPLE}?person=s1", headers=bearer(desk))) == (403, "not_allowed")
        assert client.delete(f"{PEOPLE}?person=s1", headers=bearer(office)).status_code == 200
        revoke_key(path, "desk")
        assert code_of(client.get(PEOPLE, headers=bearer(desk))) == (401, "no_key")
        path.write_text("{")
        assert code_of(client.get(PEOPLE, headers=bearer(office))) == (503, "no_keys")


def test_without_a_key_no_body_is_read(parts, keys):
    app = create_app(parts.model, keys=KeyFile(keys[0]))
    headers = [(b"content-type", b"multipart/form-data; boundary=x")]
    for path in ("/v1/verify", "/v1/embed", PEOPLE, IDENTIFY):
        refused = ask_raw(app, "POST", path, [b"a"] * 9, headers)
        assert code_of(refused) == (401, "no_key") and refused.taken == 0


def test_the_file_of_keys_has_hashes_only(keys):
    path, desk, office = keys
    assert desk not in path.read_text() and desk[3:] not in path.read_text() and desk != office
    assert [(key.name, key.scopes) for key in read_keys(path)] == [("desk", ("read",)), ("office", ("read", "write"))]
    for name, scopes, words in (("desk", ("read",), "already"), (" ", ("read",), "name"), ("new", (), "scope")):
        with pytest.raises(fm.ConfigError, match=words):
            create_key(path, name, scopes)
    revoke_key(path, "desk")
    with pytest.raises(fm.ConfigError, match="no valid key 'desk'; valid are: 'office'"):
        revoke_key(path, "desk")
    assert create_key(path, "desk", ("read",)) != desk
    with pytest.raises(fm.DataError, match=r"nowhere\.json cannot be read as a file of keys"):
        KeyFile(path.parent / "nowhere.json")


@posix_only
def test_only_their_owner_reads_keys_and_searches(keys, tmp_path):
    AuditLog(tmp_path / "log").close()
    for path in (keys[0], tmp_path / "log"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_is_recorded_who_did_what_with_whom(parts, staff, keys, tmp_path, log_lines):
    path, desk, office = keys
    log = tmp_path / "searches.jsonl"
    log.write_text("earlier\n")
    with client_of(parts, galleries={"staff": staff}, keys=KeyFile(path), audit_log=AuditLog(log)) as client:
        done = client.post(PEOPLE, files=images(parts.png[30]), data={"person": "Zoë"}, headers=bearer(office))
        found = client.post(IDENTIFY, files=images(parts.png[30]), headers=bearer(desk)).json()
        client.get(PEOPLE, headers=bearer(desk))
        client.delete(f"{PEOPLE}?person=Zo%C3%AB", headers=bearer(office))
    earlier, *lines = log.read_text().splitlines()
    asked, enrolled, searched, listed, to_remove, removed = map(json.loads, lines)
    assert earlier == "earlier" and all(line["gallery"] == "staff" and line["time"] for line in map(json.loads, lines))
    assert (asked["key"], asked["action"], asked["stage"], asked["person"]) == ("office", "enrol", "asked", "Zoë")
    assert enrolled["outcomes"] == [{"outcome": "enrolled", "reasons": []}] and enrolled["stage"] == "done"
    assert enrolled["request_id"] == done.json()["request_id"]
    assert (searched["key"], searched["action"], searched["request_id"]) == ("desk", "identify", found["request_id"])
    (answer,) = searched["answers"]
    assert answer["person"] == found["answers"][0]["person"]
    assert answer["candidates"] == [one["person"] for one in found["answers"][0]["candidates"]]
    assert (listed["action"], listed["people"], to_remove["people"], removed["images"]) == ("list", 3, ["Zoë"], 1)
    told = "\n".join(log_lines)  # of the other log
    assert all(word not in told for word in ("Zo", "s1", desk, office, str(staff)))
    assert [json.loads(line)["key"] for line in log_lines] == ["office", "desk", "desk", "office"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_without_a_record_nothing_is_done(parts, staff, log_lines):
    asked = []
    with client_of(parts, galleries={"staff": staff}, audit_log=AuditLog(Path("/dev/full"))) as client:
        for refused in (
            client.post(PEOPLE, files=images(parts.png[30]), data={"person": "Zoë"}),
            client.post(IDENTIFY, files=images(parts.png[30])),
            client.get(PEOPLE),
            client.delete(f"{PEOPLE}?person=s1"),
        ):
            assert code_of(refused) == (503, "no_audit_log") and "s1" not in refused.text
            asked.append(refused.headers["x-request-id"])
    told = [line for line in map(json.loads, log_lines) if line["event"] == "failed"]
    assert [line["request_id"] for line in told] == asked
    assert all("cannot write the audit log /dev/full: No space left" in line["message"] for line in told)
    with fm.Gallery(staff) as gallery:
        assert [person.name for person in gallery.people] == ["s1", "s2"]


@posix_only
def test_a_record_that_is_moved_or_deleted_is_begun_anew(parts, staff, tmp_path, log_lines):
    """No line goes into a file that nobody finds any more; where no new one can be begun, nothing is answered."""
    folder = tmp_path / "log"
    folder.mkdir()
    log = folder / "searches.jsonl"
    with client_of(parts, galleries={"staff": staff}, audit_log=AuditLog(log)) as client:
        assert client.get(PEOPLE).status_code == 200
        log.rename(folder / "searches.1")
        assert client.get(PEOPLE).status_code == 200
        assert len(log.read_text().splitlines()) == len((folder / "searches.1").read_text().splitlines()) == 1
        log.unlink()
        assert client.get(PEOPLE).status_code == 200 and len(log.read_text().splitlines()) == 1
        shutil.rmtree(folder)
        assert code_of(client.get(PEOPLE)) == (503, "no_audit_log")
    events = [json.loads(line)["event"] for line in log_lines]
    assert events.count("audit_log_moved") == 2 and events.count("failed") == 1


@posix_only
def test_a_gallery_that_is_taken_away_is_not_answered_from(parts, staff, log_lines):
    with client_of(parts, galleries={"staff": staff}) as client:
        assert client.get(PEOPLE).status_code == 200
        staff.rename(staff.with_name("taken"))
        assert code_of(client.post(IDENTIFY, files=images(parts.png[30]))) == (500, "failed")
        shutil.copytree(staff.with_name("taken"), staff)
        shown = client.get("/galleries/staff", headers={"accept": "text/html"})
    assert shown.status_code == 500 and f"under request_id {shown.headers['x-request-id']}." in shown.text
    told = [line for line in map(json.loads, log_lines) if line["event"] == "failed"]
    assert len(told) == 2 and all("was deleted, or another one was put in its place" in one["message"] for one in told)


def test_a_line_that_a_full_disk_broke_off_spoils_no_other(tmp_path, monkeypatch):
    log, write = AuditLog(tmp_path / "log"), os.write
    with monkeypatch.context() as patch:
        full = iter([lambda file, line: write(file, line[:9]), lambda *_: os.open(tmp_path / "no" / "no", 0)])
        patch.setattr(os, "write", lambda file, line: next(full)(file, line))
        with pytest.raises(OutputError, match="cannot write the audit log"):
            log.write(action="list")
    log.write(action="identify")
    log.write(action="enrol")
    log.close()
    broken, *whole = (tmp_path / "log").read_text().splitlines()
    assert broken == '{"time": ' and [json.loads(line)["action"] for line in whole] == ["identify", "enrol"]


def test_a_gallery_that_another_process_writes_is_said_to_be_busy(parts, staff, log_lines):
    with client_of(parts, galleries={"staff": staff}) as client, fm.Gallery(staff) as other:
        with other._store.writing("enrolling"):
            refused = client.post(PEOPLE, files=images(parts.png[30]), data={"person": "Zoë"})
        assert code_of(refused) == (503, "cannot_be_written") and refused.headers["retry-after"] == "1"
        assert str(staff) not in refused.text
        (line,) = [json.loads(line) for line in log_lines if "OutputError" in line]
        assert "is being written by process" in line["message"]
        assert client.post(PEOPLE, files=images(parts.png[30]), data={"person": "Zoë"}).status_code == 200
