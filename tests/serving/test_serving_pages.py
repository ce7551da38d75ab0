"""The pages of the service, in this process: what they say and change without JavaScript, and what they refuse."""

import hashlib
import json
import os
import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from starlette.testclient import TestClient

import facemargin as fm
from facemargin.data.source import encode_png
from facemargin.serving.app import create_app
from facemargin.serving.audit_log import AuditLog
from facemargin.serving.keys import KeyFile, create_key, revoke_key
from facemargin.serving.pages.render import POLICY, STATIC
from facemargin.serving.pages.reports import Reports
from facemargin.serving.pages.scale import WIDTH, score_bar
from facemargin.serving.settings import ServiceSettings
from tests.systems import posix_only

FLAT = encode_png(np.full((112, 92, 3), 128, np.uint8))


@pytest.fixture
def reports(tmp_path):
    folder = tmp_path / "runs"
    (folder / "first").mkdir(parents=True)
    (folder / "first" / "report.html").write_text("<!doctype html><p>the report</p>")
    (folder / "notes.txt").write_text("no report")
    (tmp_path / "secret.html").write_text("secret")
    return folder


@pytest.fixture
def client(parts, staff, tmp_path, reports):
    app = create_app(
        parts.model, calibration=parts.calibration, galleries={"staff": staff}, reports={"runs": reports},
        audit_log=AuditLog(tmp_path / "audit.jsonl"),
    )  # fmt: skip
    with TestClient(app, base_url="http://127.0.0.1", follow_redirects=False) as client:
        yield client


def token_of(client, path="/"):
    return re.search(r'name="token" value="([0-9a-f]{64})"', client.get(path).text)[1]


def send(client, path, files=(), **fields):
    """As a form of the page is sent: multipart, with its token."""
    parts = [("token", (None, token_of(client, "/")))]
    for name, value in fields.items():
        parts += [(name, (None, one)) for one in ([value] if isinstance(value, str) else value)]
    return client.post(path, files=[*parts, *files])


def photographs(*contents, name="images"):
    return [(name, ("p.png", content, "image/png")) for content in contents]


def two(a, b):
    return [*photographs(a, name="image_a"), *photographs(b, name="image_b")]


def text_of(response):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.text)).split())


PAGES = (
    "/", "/galleries", "/galleries/staff", "/galleries/staff/search", "/galleries/staff/enrol",
    "/galleries/staff/review", "/galleries/staff/person?person=s1", "/reports", "/galleries/none", "/login",
)  # fmt: skip


def test_pages_hold_nothing_that_their_policy_forbids(client):
    for path in PAGES:
        response = client.get(path)
        if path == "/login":  # no keys are needed
            assert (response.status_code, response.headers["location"]) == (303, "/")
            continue
        assert response.status_code == (404 if "none" in path else 200), path
        assert response.headers["content-security-policy"] == POLICY and response.headers["x-frame-options"] == "DENY"
        assert response.headers["cache-control"] == "no-store"
        page = response.text
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\son\w+=|javascript:", page), path
        assert all(address.startswith("/static/") for address in re.findall(r'<(?:script|link)[^>]*"(/[^"]*)"', page))
        assert "http:" not in page and "https:" not in page, path
        assert '<html lang="en">' in page and page.count("<h1") == 1 and 'href="#main"' in page
        labelled = set(re.findall(r'<label for="([^"]+)"', page))
        inputs = re.findall(r"<(?:input|select)[^>]*>", page)
        for tag in inputs:
            named = re.search(r'\bid="([^"]+)"', tag)
            assert 'type="hidden"' in tag or "aria-label" in tag or 'type="radio"' in tag or named[1] in labelled, tag
        assert all("token" in form for form in page.split("<form")[1:] if 'method="post"' in form.split(">")[0])


def test_what_pages_load_is_what_was_vendored(client):
    # htmx.org 4.0.1 of the npm registry, dist/htmx.min.js (0BSD); page.js and style.css are ours
    vendored = "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130"
    assert hashlib.sha256(STATIC["htmx.min.js"]).hexdigest() == vendored
    for address in re.findall(r'"(/static/[^"]+)"', client.get("/").text):
        response = client.get(address)
        assert response.status_code == 200 and "immutable" in response.headers["cache-control"]
        assert b"http" not in response.content or "htmx" in address  # nothing is fetched from elsewhere
    for name in ("none.css", "..%2frender.py", "%2fetc%2fpasswd"):
        assert client.get(f"/static/{name}").status_code == 404


def test_two_photographs_are_decided_on(client, parts):
    response = send(client, "/", two(parts.png[0], parts.png[0]), fmr="0.1")
    result = fm.verify(parts.model, parts.faces.read(0), parts.faces.read(0), parts.calibration, 0.1)
    said = text_of(response)
    assert response.status_code == 200 and result.decision == "same" and "The same person" in said
    assert f"score {result.score:.4f} reaches the threshold {result.threshold.threshold:.4f}" in said
    assert f"{parts.calibration.impostors:,} pairs of different people" in said and parts.calibration.pairs in said
    assert said.count(f"quality {result.quality_a:.4g}") == 2 and "never checked" in said
    assert response.text.count("data:image/jpeg;base64,") == 2
    offered = [float(rate) for rate in re.findall(r'<option value="([0-9.e-]+)"', response.text)]
    measured = [point.target_fmr for point in parts.calibration.thresholds]
    assert sorted(offered) == sorted(measured) and offered[0] == min(measured)  # none is as low as the usual one


def test_without_thresholds_there_is_a_score(parts):
    with TestClient(create_app(parts.model), base_url="http://127.0.0.1") as client:
        said = text_of(send(client, "/", two(*parts.png[:2])))
    score = fm.verify(parts.model, *parts.png[:2]).score
    assert "A score, and no decision" in said and f"The score is {score:.4f}" in said and "no thresholds" in said


def test_what_a_certificate_promises_is_said(parts):
    certificate = fm.certify(parts.model, fm.open_images("orl:1-9"), fmr=0.7)
    with TestClient(create_app(parts.model, certificate=certificate), base_url="http://127.0.0.1") as client:
        said = text_of(send(client, "/", two(parts.png[0], parts.png[0])))
    assert "The same person" in said and "Promised: at most 70 % pairs of other people score this high" in said
    assert "Certified on 9 people, 90 images of orl:1-9." in said


def test_too_poor_is_no_answer(parts):
    floor = replace(parts.calibration.thresholds[0], quality_floor=1e9)
    with TestClient(
        create_app(parts.model, calibration=replace(parts.calibration, thresholds=(floor,))),
        base_url="http://127.0.0.1",
    ) as client:
        response = send(client, "/", two(parts.png[0], parts.png[12]), fmr="0.5")
    said = text_of(response)
    assert "Too poor to decide" in said and "below 1e+09, the least" in said and 'class="bar"' not in response.text


def test_pictures_that_cannot_be_used_are_named(client, parts):
    said = text_of(send(client, "/", two(parts.png[0], b"no picture")))
    assert "Cannot be compared The second photograph" in said and "cannot be shown" in said
    empty = send(client, "/", [("image_a", ("a.png", b"")), *photographs(parts.png[0], name="image_b")])
    assert empty.status_code == 422 and "choose two photographs" in text_of(empty).lower()


@pytest.mark.parametrize(
    ("path", "files", "fields", "status", "says"),
    [
        ("/", [], {"image_c": "x"}, 422, "no field 'image_c'"),
        ("/", [], {"fmr": "<b>"}, 422, "fmr is not valid"),
        ("/galleries/none/search", [], {}, 404, "no gallery of this name"),
        ("/galleries/staff/search", [], {}, 422, "at least one photograph"),
        ("/galleries/staff/enrol", photographs(FLAT), {"person": " "}, 422, "person is empty"),
        ("/galleries/staff/enrol", photographs(FLAT), {"person": "Eve", "gate": "off"}, 403, "allows refuse, review"),
        ("/galleries/staff/person", [], {"action": "merge", "person": "s1", "other": "Eve"}, 404, "enrolled as 'Eve'"),
        ("/galleries/staff/person", [], {"action": "merge", "person": "s1", "other": "s1"}, 422, "the same person"),
        ("/galleries/staff/person", [], {"action": "split", "person": "s1", "other": "Eve"}, 422, "no image is chosen"),
        ("/galleries/staff/person", [], {"action": "remove images", "person": "s1", "numbers": "4"}, 409, "image 4"),
        ("/galleries/staff/person", [], {"action": "burn", "person": "s1"}, 422, "action is not valid"),
        ("/galleries/staff/review", [], {"accept": "1"}, 409, "does not wait for a decision"),
    ],
)
def test_what_is_refused_is_said_on_a_page(client, staff, parts, path, files, fields, status, says):
    response = send(client, path, files, **fields)
    assert response.status_code == status and says.lower() in text_of(response).lower()
    assert response.headers["content-security-policy"] == POLICY and "<b>" not in response.text
    with fm.Gallery(staff, parts.model) as gallery:
        assert gallery.counts() == (2, 6, 0)


def test_what_is_refused_at_the_edge_is_a_page_for_people(parts, staff):
    app = create_app(parts.model, galleries={"staff": staff}, settings=ServiceSettings(max_body=1000))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        accepting = {"accept": "text/html,*/*"}
        response = client.post("/", content=b"x" * 2000, headers=accepting)
        assert response.status_code == 413 and "more than 1,000 bytes" in text_of(response)
        assert response.headers["content-security-policy"] == POLICY
        assert client.post("/", content=b"x" * 2000).json()["error"]["code"] == "too_large"
        assert client.post("/v1/verify", content=b"x" * 2000, headers=accepting).json()["error"]["code"] == "too_large"


def test_a_form_without_its_token_does_nothing(client, parts, staff):
    for token in ("", "0" * 64, "ä" * 20):
        fields = {"token": token, "action": "remove", "person": "s1"}
        response = client.post("/galleries/staff/person", files={name: (None, text) for name, text in fields.items()})
        assert response.status_code == 403
    other = TestClient(client.app, base_url="http://127.0.0.1")
    stolen = token_of(other)  # that of another browser
    response = client.post("/", files=[("token", (None, stolen)), *two(parts.png[0], parts.png[0])])
    assert response.status_code == 403 and "open the page again" in response.text
    with fm.Gallery(staff, parts.model) as gallery:
        assert gallery.counts() == (2, 6, 0)


def test_searching(client, parts, staff):
    response = send(client, "/galleries/staff/search", photographs(parts.png[5], parts.png[35]))
    with fm.Gallery(staff, parts.model, calibration=parts.calibration) as gallery:
        answers = gallery.identify([parts.faces.read(5), parts.faces.read(35)])
        rule = gallery.rule()
    said = text_of(response)
    for answer in answers:
        for rank, one in enumerate(answer.candidates, 1):
            assert f"{rank} {one.person} {one.score:.4f}" in said
    assert said.count("Photograph 1") >= 1 and said.count("Photograph 2") >= 1
    assert all(words.strip(".") in said.replace("Threshold", "threshold") for words in rule.words)
    pooled = send(client, "/galleries/staff/search", photographs(parts.png[5], parts.png[6]), pool="yes")
    assert pooled.text.count('class="answer"') == 1 and pooled.text.count("data:image/jpeg") == 2


def test_enrolling_reviewing_merging_splitting_and_deleting(client, parts, staff, tmp_path):
    said = text_of(
        send(client, "/galleries/staff/enrol", photographs(parts.png[20], FLAT), person="<i>Ann</i>", consent="form 1")
    )
    assert "refused" in said and "low contrast" in said and "Not checked" in said
    response = send(client, "/galleries/staff/enrol", photographs(FLAT), person="<i>Ann</i>", gate="review")
    assert "1 in review" in text_of(response) and "<i>Ann" not in response.text
    review = client.get("/galleries/staff/review")
    numbers = re.findall(r'name="accept" value="(\d+)"', review.text)
    assert "low contrast" in text_of(review) and numbers
    both = send(client, "/galleries/staff/review", accept=numbers, reject=numbers)
    assert both.status_code == 422 and "accepted and deleted" in text_of(both)
    assert "1 image accepted, 0 images deleted" in text_of(send(client, "/galleries/staff/review", accept=numbers[:1]))

    person = client.get("/galleries/staff/person", params={"person": "s1"})
    own = re.findall(r'name="numbers" value="(\d+)"', person.text)
    at = "/galleries/staff/person"
    said = text_of(send(client, at, action="split", person="s1", numbers=own[:2], other="s9"))
    assert "2 images of s1 now of s9." in said
    assert "1 image of s1 now of s2." in text_of(send(client, at, action="merge", person="s1", other="s2"))
    said = text_of(send(client, at, action="remove images", person="s9", numbers=own[:1]))
    assert "1 image of s9 deleted." in said
    assert "s9 is not enrolled any more" in text_of(send(client, at, action="remove", person="s9"))
    assert client.get(at, params={"person": "s9"}).status_code == 404
    with fm.Gallery(staff, parts.model) as gallery:
        assert [(one.name, one.images) for one in gallery.people if one.name.startswith("s")] == [("s2", 4)]
        assert gallery.check() == []
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    done = [line["action"] for line in lines if line.get("stage") == "done"]
    assert done == ["enrol", "enrol", "review", "split", "merge", "remove images", "remove"]


def test_images_in_review_are_shown_by_pages(client, parts, staff, monkeypatch):
    monkeypatch.setattr("facemargin.serving.pages.people.SHOWN_REVIEW", 2)
    with fm.Gallery(staff, parts.model) as gallery:
        gallery.enrol([np.full((64, 64, 3), value, np.uint8) for value in (60, 90, 120)], "Ann", gate="review")
    first = client.get("/galleries/staff/review").text
    (following,) = re.findall(r'href="([^"]+)" rel="next"', first)
    second = client.get(following).text
    numbers = [re.findall(r'name="accept" value="(\d+)"', text) for text in (first, second)]
    assert [len(one) for one in numbers] == [2, 1] and len({*numbers[0], *numbers[1]}) == 3
    assert 'rel="next"' not in second and ">← the first</a>" in second and "the first</a>" not in first


def test_people_are_listed_by_pages_and_found_by_name(client, parts, staff, monkeypatch):
    monkeypatch.setattr("facemargin.serving.pages.people.PAGE", 1)
    first = client.get("/galleries/staff").text
    assert ">s1</a>" in first and ">s2</a>" not in first and 'rel="next"' in first and 'rel="prev"' not in first
    second = client.get("/galleries/staff?offset=1").text
    assert ">s2</a>" in second and 'rel="next"' not in second and 'rel="prev"' in second
    assert ">s2</a>" in client.get("/galleries/staff?find=S2").text
    assert ">s2</a>" in client.get("/galleries/staff", params={"find": " s2 "}).text
    with fm.Gallery(staff, parts.model) as gallery:
        gallery.enrol(parts.faces.read(30), "Zo\u00eb", gate="off")
    assert ">Zoë</a>" in client.get("/galleries/staff", params={"find": "zoe\u0308"}).text
    assert "contains “<&”" in text_of(client.get("/galleries/staff", params={"find": "<&"}))
    assert client.get("/galleries/staff?offset=-1").status_code == 422


@posix_only
def test_reports_are_those_of_the_operator_s_folder(client, reports, tmp_path):
    (reports / "link.html").symlink_to(tmp_path / "secret.html")
    os.mkfifo(reports / "endless.html")
    (reports / ".hidden").mkdir()
    (reports / ".hidden" / "report.html").write_text("hidden")
    listed = client.get("/reports").text
    assert re.findall(r'href="(/reports/[^"]+)"', listed) == ["/reports/runs/first/report.html"]
    response = client.get("/reports/runs/first/report.html")
    assert response.text == "<!doctype html><p>the report</p>"
    assert "connect-src 'none'" in response.headers["content-security-policy"]
    for path in (
        "runs/../secret.html", "runs/%2e%2e/secret.html", "runs/..%2fsecret.html", "runs/link.html", "runs/notes.txt",
        f"runs/{tmp_path}/secret.html", "runs/first", "none/first/report.html", "runs/.hidden/report.html",
    ):  # fmt: skip
        response = client.get(f"/reports/{path}", follow_redirects=True)
        assert response.status_code == 404 and "secret" not in response.text, path
    with pytest.raises(fm.ConfigError, match="which is no folder"):
        Reports({"runs": tmp_path / "none"})


def test_with_keys_one_logs_in(parts, staff, tmp_path):
    path = tmp_path / "keys.json"
    reads, writes = create_key(path, "reader", ("read",)), create_key(path, "writer", ("read", "write"))
    app = create_app(parts.model, calibration=parts.calibration, galleries={"staff": staff}, keys=KeyFile(path))
    with TestClient(app, base_url="https://faces.example", follow_redirects=False) as client:
        for page in ("/", "/galleries/staff", "/galleries/staff/enrol", "/reports"):
            response = client.get(page)
            assert (response.status_code, response.headers["location"]) == (303, "/login")
        assert client.post("/", files=two(parts.png[0], parts.png[0])).status_code == 303
        by_script = client.post("/", files=two(parts.png[0], parts.png[0]), headers={"hx-request": "true"})
        assert by_script.headers["hx-redirect"] == "/login" and not by_script.content

        def log_in(secret):
            fields = {"token": (None, token_of(client, "/login")), "key": (None, secret)}
            return client.post("/login", files=fields)

        wrong = log_in("fm_wrong")
        assert wrong.status_code == 401 and "no valid key" in wrong.text and "fm_wrong" not in wrong.text
        before = client.cookies["facemargin_session"]
        right = log_in(reads)
        cookie = right.headers["set-cookie"]
        assert right.status_code == 303 and client.cookies["facemargin_session"] != before
        assert (
            all(part in cookie for part in ("HttpOnly", "SameSite=strict", "Secure", "Path=/")) and reads not in cookie
        )
        gallery = client.get("/galleries/staff").text
        assert "/galleries/staff/enrol" not in gallery and "reader" in gallery
        assert "Delete s1" not in client.get("/galleries/staff/person?person=s1").text
        assert client.get("/galleries/staff/enrol").status_code == 403
        fields = {"token": token_of(client), "action": "remove", "person": "s1"}
        refused = client.post("/galleries/staff/person", files={name: (None, text) for name, text in fields.items()})
        assert refused.status_code == 403 and "does not allow to write" in refused.text
        assert client.get("/v1/galleries").status_code == 401  # a cookie is no key
        stolen = client.cookies["facemargin_session"]
        assert client.post("/logout", files={"token": (None, token_of(client))}).headers["location"] == "/login"
        client.cookies.set("facemargin_session", stolen)
        assert client.get("/").status_code == 303

        log_in(writes)
        assert client.get("/galleries/staff/enrol").status_code == 200
        revoke_key(path, "writer")
        assert client.get("/galleries/staff").status_code == 303
        path.write_text("{")
        assert log_in(reads).status_code == 503


def test_where_a_score_lies():
    assert score_bar(0.5, None, None, "same", "other") is None and score_bar(float("nan"), 0.3, 0.3, "a", "b") is None
    bar = score_bar(0.4, 0.4, 0.1, "the same", "other")
    assert [zone.name for zone in bar.zones] == ["no", "unsure", "yes"] and bar.place == 160
    assert sum(zone.width for zone in bar.zones) == pytest.approx(WIDTH)
    assert bar.words == "score 0.4000; below 0.1000 other; from 0.4000 on the same"
    assert [zone.name for zone in score_bar(2.0, 0.4, None, "a", "b").zones] == ["unsure", "yes"]
    assert [zone.name for zone in score_bar(-9, None, 0.1, "a", "b").zones] == ["no", "unsure"]
