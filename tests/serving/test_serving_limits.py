"""What the service refuses, and how little it takes to do so."""

import asyncio
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from starlette.requests import ClientDisconnect

import facemargin as fm
from facemargin.data.source import encode_png
from facemargin.serving.app import create_app
from facemargin.serving.settings import ServiceSettings
from tests.serving.asking import ask_raw, client_of, code_of, images, pair, png_bomb
from tests.serving.blocked import Blocked

MULTIPART = [(b"content-type", b"multipart/form-data; boundary=x")]


@pytest.fixture(scope="module")
def client(parts):
    with client_of(parts, galleries={"staff": parts.gallery}) as client:
        yield client


@pytest.mark.parametrize(
    ("fields", "files", "expected", "words"),
    [
        ({}, [], (415, "not_multipart"), "multipart/form-data"),
        ({}, ["image_a"], (422, "invalid_value"), "image_b is missing"),
        ({}, ["image_a", "image_b", "image_b"], (422, "invalid_value"), "image_b is given 2 times"),
        ({}, ["image_a", "image_b", "image_c"], (422, "unknown_field"), "there is no field 'image_c'"),
        ({"image_a": "text"}, ["image_b"], (422, "invalid_value"), "image_a must be sent as a file"),
        ({}, ["image_a", "image_b", "fmr"], (422, "invalid_value"), "fmr must be sent as a text"),
        ({"fmr": "often"}, ["image_a", "image_b"], (422, "invalid_value"), "fmr is not valid"),
        ({"fmr": "nan"}, ["image_a", "image_b"], (422, "invalid_value"), "the FMR is nan"),
        ({"fmr": "1e-9"}, ["image_a", "image_b"], (422, "invalid_value"), "cannot be measured"),
        ({"on_several": "all"}, ["image_a", "image_b"], (422, "invalid_value"), "on_several is not valid"),
        ({"on_several": "error"}, ["image_a", "image_b"], (422, "invalid_value"), "pictures are aligned faces here"),
    ],
)  # fmt: skip
def test_fields_that_do_not_fit(client, parts, fields, files, expected, words):
    given = [(name, ("p.png", parts.png[0])) for name in files]
    refused = client.post("/v1/verify", files=given, data=fields)
    assert code_of(refused) == expected and words in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "fields", "expected"),
    [
        ("POST", "/v1/galleries/guests/identify", {}, (404, "no_such_gallery")),
        ("POST", "/v1/galleries/..%2fstaff/identify", {}, (404, "not_found")),
        ("GET", "/v1/galleries/staff/people?limit=0", None, (422, "invalid_value")),
        ("GET", "/v1/galleries/staff/people?after=99999999999999999999", None, (422, "invalid_value")),
        ("GET", "/v1/galleries/staff/people?offset=5", None, (422, "unknown_field")),
        ("POST", "/v1/verify?fmr=0.1", {}, (422, "unknown_field")),
        ("POST", "/v1/galleries/staff/identify", {"candidates": "0"}, (422, "invalid_value")),
        ("POST", "/v1/galleries/staff/identify", {"fpir": "2"}, (422, "no_rule")),
        ("POST", "/v1/galleries/staff/identify", {"fpir": ".1", "fmr": ".1"}, (422, "invalid_value")),
        ("POST", "/v1/galleries/staff/people", {"person": "a\nb"}, (422, "invalid_value")),
        ("POST", "/v1/galleries/staff/people", {"person": " "}, (422, "invalid_value")),
        ("POST", "/v1/galleries/staff/people", {"person": "a" * 201}, (422, "invalid_value")),
        ("POST", "/v1/galleries/staff/people", {"person": "a", "gate": "off"}, (403, "gate_not_allowed")),
        ("DELETE", "/v1/galleries/staff/people", None, (422, "invalid_value")),
        ("GET", "/v1/verify", None, (405, "method_not_allowed")),
        ("GET", "/etc/passwd", None, (404, "not_found")),
    ],
)  # fmt: skip
def test_addresses_and_values_that_do_not_fit(client, parts, method, path, fields, expected):
    files = None if fields is None else images(parts.png[0])
    assert code_of(client.request(method, path, files=files, data=fields)) == expected


def test_a_text_that_is_not_utf_8_is_refused(client):
    part = b'--x\r\nContent-Disposition: form-data; name="person"\r\n\r\n\xff\xfe\r\n--x--\r\n'
    refused = client.post(
        "/v1/galleries/staff/people", content=part, headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert code_of(refused) == (400, "bad_multipart") and "not UTF-8" in refused.text


def test_only_its_own_names_and_pages_are_answered(client, parts):
    assert code_of(client.get("/healthz", headers={"host": "rebound.example"})) == (421, "other_host")
    for headers in ({"origin": "https://other.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        refused = client.post("/v1/verify", files=pair(*parts.png[:2]), headers=headers)
        assert code_of(refused) == (403, "other_origin")
    own = client.post("/v1/verify", files=pair(*parts.png[:2]), headers={"origin": "http://127.0.0.1"})
    assert own.status_code == 200


def test_a_body_that_is_too_long_is_not_read(parts):
    app = create_app(parts.model, settings=ServiceSettings(max_body=100_000))
    refused = ask_raw(app, "POST", "/v1/verify", [b"a"] * 9, [*MULTIPART, (b"content-length", b"100001")])
    assert code_of(refused) == (413, "too_large") and refused.taken == 0
    begun = b'--x\r\nContent-Disposition: form-data; name="image_a"; filename="a"\r\n\r\n'
    refused = ask_raw(app, "POST", "/v1/verify", [begun, *[bytes(30_000)] * 99], MULTIPART)
    assert code_of(refused) == (413, "too_large") and refused.taken == 5


def test_a_body_that_does_not_come_is_not_waited_for(parts):
    app = create_app(parts.model, settings=ServiceSettings(deadline=0.05))
    refused = ask_raw(app, "POST", "/v1/verify", [b"--x\r\n", None], MULTIPART)
    assert code_of(refused) == (408, "too_slow") and app.state.service.turns.inside == 0


def test_pictures_stay_in_memory(parts, monkeypatch):
    noise = encode_png(np.random.default_rng(0).integers(0, 256, (1100, 1100, 3), np.uint8))
    assert len(noise) > 3 << 20
    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", lambda _: pytest.fail("written to the disk"))
    with client_of(parts) as client:
        assert client.post("/v1/embed", files=images(noise)).json()["images"][0]["norm"] > 0


def test_bombs_are_refused_before_they_are_decoded(client, parts, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    jpeg = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    place = jpeg.index(b"\xff\xc0") + 5
    bombs = [png_bomb(50_000, 50_000), png_bomb(8000, 4001), jpeg[:place] + b"\xff\xff\xff\xff" + jpeg[place + 4 :]]
    tracemalloc.start()
    found = client.post("/v1/embed", files=images(*bombs)).json()["images"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [one["problem"]["code"] for one in found] == ["unreadable"] * 3 and peak < 20 << 20
    assert "has 2,500,000,000 pixels, at most 32,000,000" in found[0]["problem"]["words"]


def test_too_many_requests_are_told_to_come_again(parts):
    model = Blocked(parts.model)
    settings = ServiceSettings(queue=2, threads=1)
    with client_of(parts, model=model, settings=settings) as client, ThreadPoolExecutor(2) as threads:
        model.block()
        try:
            waiting = [threads.submit(client.post, "/v1/embed", files=images(parts.png[0])) for _ in range(2)]
            while client.app.state.service.turns.inside < 2:
                threading.Event().wait(0.001)
            refused = client.post("/v1/embed", files=images(parts.png[0]))
            assert code_of(refused) == (429, "too_busy") and int(refused.headers["retry-after"]) >= 1
            assert client.get("/healthz").status_code == 200
        finally:
            model.free.set()
        assert [future.result(60).status_code for future in waiting] == [200, 200]
        assert client.post("/v1/embed", files=images(parts.png[0])).status_code == 200


def test_after_the_deadline_there_is_an_error_and_the_turn_ends_with_the_work(parts):
    model = Blocked(parts.model)
    with client_of(parts, model=model, settings=ServiceSettings(deadline=0.3, threads=1)) as client:
        model.block()
        assert code_of(client.post("/v1/embed", files=images(parts.png[0]))) == (504, "deadline")
        model.free.set()
        while client.app.state.service.turns.inside:
            threading.Event().wait(0.001)


def test_work_of_a_client_that_went_away_is_never_begun(parts):
    app = create_app(parts.model, settings=ServiceSettings(threads=1))
    service = app.state.service

    async def ask():
        async def receive():
            return {"type": "http.disconnect"}

        with pytest.raises(ClientDisconnect):
            async with service.turns.turn(receive) as turn:
                await turn.work(lambda: pytest.fail("begun"))

    begun, end = threading.Event(), threading.Event()

    def hold():
        begun.set()
        end.wait(60)

    service.turns._threads.submit(hold)
    assert begun.wait(60)
    asyncio.run(ask())
    assert service.turns.inside == 0
    end.set()
    service.close()


def test_nobody_foresaw_it(parts, monkeypatch, log_lines):
    def fail(*_):
        raise ZeroDivisionError("secret words")

    monkeypatch.setattr("facemargin.serving.face_routes.verify_pictures", fail)
    with client_of(parts) as client:
        answer = client.post("/v1/verify", files=pair(*parts.png[:2]))
    assert code_of(answer) == (500, "failed") and "secret" not in answer.text and "Traceback" not in answer.text
    (line,) = [line for line in log_lines if '"failed"' in line and "exception" in line]
    assert "ZeroDivisionError" in line and "secret" not in line and answer.headers["x-request-id"] in line


@pytest.mark.parametrize(
    ("name", "value"),
    [("queue", 0), ("max_body", -1), ("deadline", float("nan")), ("batch_size", 0), ("gates", ("on",)), ("gates", ())],
)
def test_settings_out_of_range(name, value):
    with pytest.raises(fm.ConfigError, match=name):
        ServiceSettings(**{name: value})
