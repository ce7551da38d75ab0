"""A real service on this machine, and its client."""

import concurrent.futures
import json
import signal
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from benchmarks.hostile_requests import ENDS_EARLY, ask, hostile_requests

import facemargin as fm
from facemargin.cli import main
from facemargin.serving import server as server_module
from facemargin.serving.app import create_app
from facemargin.serving.keys import create_key
from facemargin.serving.protocol import ServiceProtocol
from facemargin.serving.server import is_loopback, run_service
from tests.processes import Program
from tests.systems import posix_only


def start(*arguments: object, cwd: Path) -> tuple[Program, int]:
    """A service that listens, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = Program("-m", "facemargin", "serve", *arguments, "--port", port, cwd=cwd)
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return program, port
        assert program.poll() is None, program.communicate()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def served(parts, tmp_path_factory):
    """A service with keys: its address, a key that reads and writes, one that reads, its folder."""
    folder = tmp_path_factory.mktemp("service")
    path = folder / "keys.json"
    keys = [create_key(path, "w", ("write", "read")), create_key(path, "r", ("read",))]
    with fm.Gallery.create(folder / "staff", parts.model):
        pass
    program, port = start(
        parts.network, "--gallery", f"staff={folder / 'staff'}", "--keys", path, "--audit-log",
        folder / "searches.jsonl", "--calibration", parts.folder / "calibration.json", "--gates", "off", "refuse",
        "--max-body", 2, cwd=folder,
    )  # fmt: skip
    yield f"http://127.0.0.1:{port}", *keys, folder
    program.send_signal(signal.SIGTERM)
    out, err = program.communicate()
    assert program.returncode == 0 and "Traceback" not in out + err
    assert [json.loads(line)["event"] for line in out.splitlines()][-2:] == ["ending", "ended"]


@posix_only
def test_the_client_returns_what_the_library_does(served, parts):
    url, key, _, _ = served
    client = fm.Client(url, key)
    a, b = parts.faces.read(0), parts.faces.read(1)
    assert client.verify(a, parts.png[1], fmr=0.1) == fm.verify(parts.model, a, b, parts.calibration, 0.1)
    ours, theirs = client.embed([a, b]), parts.model.embed([a, b])
    for name in ("vectors", "norms", "quality"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name))
    done = client.enrol("staff", "Åsa Öst/=&", [parts.faces.read(n) for n in (20, 21)], gate="off", consent="form 7")
    assert done.count("enrolled") == 2 and done.outcomes[0].person == "Åsa Öst/=&"
    (person,) = client.people("staff")
    assert (person.name, person.images) == ("Åsa Öst/=&", 2)
    (found,) = client.identify("staff", parts.faces.read(22), fpir=0.1)
    (pooled,) = client.identify("staff", [parts.faces.read(n) for n in (23, 24)], pool=True)
    assert found.candidates[0].person == pooled.candidates[0].person == "Åsa Öst/=&" and len(pooled.sources) == 2
    assert client.quality(a)[0]["quality"] == theirs.quality[0] and client.galleries()[0]["people"] == 1
    assert client.remove("staff", "Åsa Öst/=&") == 2
    with pytest.raises(fm.ServiceError, match="nobody is enrolled") as caught:
        client.remove("staff", "Åsa Öst/=&")
    assert (caught.value.code, caught.value.status) == ("not_enrolled", 404) and len(caught.value.request_id) == 16
    with pytest.raises(fm.ServiceError, match="a valid key is needed"):
        fm.Client(url).galleries()
    with pytest.raises(fm.ServiceError, match="has more than 2,097,152 bytes"):
        client.embed(bytes(3 << 20))
    with pytest.raises(fm.DataError, match=r"images\[0\]: not an image"):
        client.embed(b"nothing")
    with pytest.raises(fm.ConfigError, match="expected one such as"):
        fm.Client("127.0.0.1:8000")
    for call in (lambda client: client.remove("staff", "\udc80"), lambda client: client.people("\udc80")):
        with pytest.raises(fm.ConfigError, match="cannot be sent as UTF-8"):
            call(fm.Client("http://127.0.0.1:9"))


@posix_only
def test_images_in_review_are_listed_and_decided_on(parts, tmp_path):
    keys = tmp_path / "keys.json"
    office, desk = create_key(keys, "office", ("write", "read")), create_key(keys, "desk", ("read",))
    with fm.Gallery.create(tmp_path / "staff", parts.model):
        pass
    log = tmp_path / "searches.jsonl"
    program, port = start(
        parts.network, "--gallery", f"staff={tmp_path / 'staff'}", "--keys", keys, "--audit-log", log, cwd=tmp_path
    )
    try:
        client, reader = (fm.Client(f"http://127.0.0.1:{port}", key) for key in (office, desk))
        flat = [np.full((64, 64, 3), value, np.uint8) for value in range(60, 160, 20)]
        for person, pictures in (("Ann", flat[:3]), ("Bo", flat[3:])):
            assert client.enrol("staff", person, pictures, gate="review", consent="7").count("in review") > 0
        waiting = reader.in_review("staff")
        with fm.Gallery(tmp_path / "staff") as gallery:
            assert waiting == gallery.in_review() and len(waiting) == 5 and waiting[0].reasons
        numbers = [image.number for image in waiting]
        with pytest.raises(fm.ServiceError, match="this key does not allow to write"):
            reader.review("staff", accept=numbers)
        for accept, reject, code in (
            ([numbers[0]], [numbers[0]], "invalid_value"),
            ([numbers[0], 99], [], "not_in_review"),
        ):
            with pytest.raises(fm.ServiceError) as refused:
                client.review("staff", accept=accept, reject=reject)
            assert refused.value.code == code
        assert client.review("staff", accept=numbers[:2], reject=numbers[3:]) == 1
        with pytest.raises(fm.ServiceError, match="does not wait for a decision; nothing has changed"):
            client.review("staff", reject=numbers[:1])
        assert client.in_review("staff") == waiting[2:3]
        assert [(one.name, one.images, one.in_review) for one in client.people("staff")] == [("Ann", 2, 1)]
    finally:
        program.send_signal(signal.SIGTERM)
        program.communicate()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    done = [line for line in lines if line["action"] == "review" and line["stage"] == "done"]
    assert [(line["key"], line["accept"], line["reject"], line["people"]) for line in done] == [
        ("office", numbers[:2], numbers[3:], ["Ann", "Bo"])
    ]
    assert [line["key"] for line in lines if line["action"] == "list review"] == ["desk", "office"]


@posix_only
def test_many_at_once_get_the_answers_of_one(served, parts):
    client = fm.Client(served[0], served[1])
    alone = [fm.verify(parts.model, parts.faces.read(n), parts.faces.read(n + 1), parts.calibration) for n in range(20)]
    with concurrent.futures.ThreadPoolExecutor(10) as threads:
        found = list(threads.map(lambda n: client.verify(parts.png[n], parts.png[n + 1]), range(20)))
    for ours, theirs in zip(found, alone, strict=True):
        assert abs(ours.score - theirs.score) < 1e-6 and ours.threshold == theirs.threshold


def _files(folder: Path) -> dict[Path, bytes]:
    """All but what is meant to be written: the audit log, and who writes."""
    files = [
        path for path in folder.rglob("*") if path.is_file() and path.name not in ("searches.jsonl", "writer.lock")
    ]
    return {path: path.read_bytes() for path in files}


@posix_only
def test_hostile_requests_are_refused_and_leave_nothing(served, parts):
    url, writes, reads, folder = served
    before = _files(folder)
    port = int(url.rpartition(":")[2])
    for name, request in hostile_requests(7, 250, parts.png[:4], writes, reads):
        answer = ask(port, request, ends=name in ENDS_EARLY)
        status = int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None
        assert status is None or status < 500 or status == 501, (name, answer[:500])
        assert b"Traceback" not in answer and str(folder).encode() not in answer, (name, answer[:500])
        if status is not None and status >= 400 and not request.startswith(b"HEAD"):
            assert b'"error":' in answer and b'"request_id":' in answer, (name, answer[:500])
        assert answer or name in ENDS_EARLY, (name, request[:500])
    assert _files(folder) == before
    assert fm.Client(url, reads).people("staff") == []


@posix_only
def test_what_was_let_in_is_finished_before_the_end(parts, tmp_path):
    program, port = start(parts.network.replace(":model", ":slow"), cwd=tmp_path)
    client = fm.Client(f"http://127.0.0.1:{port}")
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        answer = threads.submit(client.embed, parts.png[0])
        inside = b"facemargin_requests_inside 1.0"
        while inside not in ask(port, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"):
            assert not answer.done()
        program.send_signal(signal.SIGTERM)
        assert answer.result(60).vectors.shape == (1, 64)
    assert program.wait() == 0
    with pytest.raises(fm.ServiceError, match="cannot be reached") as caught:
        client.embed(parts.png[0])
    assert caught.value.code == "unreachable"


@posix_only
def test_a_head_that_does_not_come_is_not_waited_for():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    protocol = type("Quick", (ServiceProtocol,), {"head_seconds": 0.2})
    config = uvicorn.Config(app, port=0, http=protocol, lifespan="off", log_config=None, timeout_keep_alive=60)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    for sent in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTT"):
        with socket.create_connection(("127.0.0.1", port), 60) as connection:
            connection.sendall(sent)
            received = b""
            while more := connection.recv(4096):
                received += more
            assert received.startswith(b"HTTP/1.1 200") == sent.startswith(b"GET / HTTP/1.1\r\n")
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "without keys everybody there could search"),
        (["--host", "service.example"], "without keys everybody there could search"),
        (["--gallery", "a=b"], "--audit-log FILE.jsonl, or --audit-log off"),
        (["--gallery", "../a=b", "--audit-log", "off"], "expected NAME=PATH"),
        (["--gallery", "a=b", "a=c", "--audit-log", "off"], "gives 'a' twice"),
        (["--gallery", "a=b", "--audit-log", "off"], "b is no gallery"),
        (["--keys", "nowhere.json"], "nowhere.json cannot be read as a file of keys"),
        (["--tls-key", "k.pem"], "belong together"),
        (["--port", "70000"], "expected 0 to 65535"),
        (["--deadline", "0"], "expected seconds above 0"),
    ],
)  # fmt: skip
def test_what_is_not_served(parts, arguments, words, capsys):
    assert main(["serve", parts.network, *arguments]) == 2
    assert words in capsys.readouterr().err


def test_an_ipv6_address_may_be_in_brackets(parts, monkeypatch):
    listened = []
    monkeypatch.setattr(server_module._Server, "run", lambda server: listened.append(server.config.host))
    for host in ("[::1]", "::1"):
        run_service(create_app(parts.model), host, 0)
    assert listened == ["::1", "::1"]


def test_a_port_that_is_taken_is_said(parts, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", parts.network, "--port", str(taken.getsockname()[1])]) == 2
    assert "cannot be listened on: is another service running there?" in capsys.readouterr().err


def test_keys_by_the_command_line(tmp_path, capsys):
    path = str(tmp_path / "keys.json")
    assert main(["serve", "key", "create", path, "desk", "--scopes", "read", "write"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("fm_") and len(out.strip()) == 46 and "not shown again" in err
    assert main(["serve", "key", "revoke", path, "desk"]) == 0 and main(["serve", "key", "list", path]) == 0
    out, _ = capsys.readouterr()
    assert "desk: revoked" in out and "read, write" in out and out.strip() not in Path(path).read_text()


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("[::1]", True), ("127.8.8.8", True), ("0.0.0.0", False),
     ("::", False), ("10.0.0.1", False), ("", False), ("localhost.example", False)],
)  # fmt: skip
def test_which_hosts_are_this_machine(host, expected):
    assert is_loopback(host) is expected
