"""The service, in this process: the same answers as the library's, and what is refused."""

import numpy as np
import pytest
from starlette.testclient import TestClient

import facemargin as fm
from facemargin.data.source import encode_png
from facemargin.serving.app import create_app


def client_of(parts, **arguments):
    app = create_app(parts.model, calibration=parts.calibration, **arguments)
    return TestClient(app, base_url="http://127.0.0.1")


@pytest.fixture
def client(parts, staff):
    with client_of(parts, galleries={"staff": staff}) as client:
        yield client


def images(*contents):
    return [("images", ("p.png", content)) for content in contents]


def test_verify_is_the_library_s(client, parts):
    files = {"image_a": ("a.png", parts.png[0]), "image_b": ("b.png", parts.png[1])}
    answer = client.post("/v1/verify", files=files, data={"fmr": "0.1"}).json()
    expected = fm.verify(parts.model, parts.faces.read(0), parts.faces.read(1), parts.calibration, 0.1)
    found = (answer["score"], answer["quality_a"], answer["quality_b"], answer["decision"])
    assert found == (expected.score, expected.quality_a, expected.quality_b, expected.decision)
    assert answer["threshold"]["threshold"] == expected.threshold.threshold


def test_what_the_verb_warns_of_is_in_the_answer(client, parts):
    wide = encode_png(np.concatenate([parts.faces.read(0)] * 2, 1))
    notes = client.post("/v1/embed", files=images(wide, parts.png[0])).json()["notes"]
    assert len(notes) == 1 and "1 of the 2 images is not square (images[0]: " in notes[0]
    assert client.post("/v1/embed", files=images(parts.png[0])).json()["notes"] == []


def test_people_are_enrolled_found_and_removed(client, parts, staff):
    found = client.post("/v1/galleries/staff/people", files=images(*parts.png[20:23]), data={"person": "Ann"}).json()
    assert [one["outcome"] for one in found["outcomes"]].count("enrolled") >= 1
    answer = client.post("/v1/galleries/staff/identify", files=images(parts.png[5], parts.png[35])).json()
    with fm.Gallery(staff, parts.model, calibration=parts.calibration) as gallery:
        expected = gallery.identify([parts.faces.read(5), parts.faces.read(35)])
    for ours, theirs in zip(answer["answers"], expected, strict=True):
        assert (ours["decision"], ours["person"], ours["score"]) == (theirs.decision, theirs.person, theirs.score)
        assert [one["person"] for one in ours["candidates"]] == [one.person for one in theirs.candidates]
    people = client.get("/v1/galleries/staff/people").json()["people"]
    assert [person["name"] for person in people] == ["s1", "s2", "Ann"]
    assert client.delete("/v1/galleries/staff/people", params={"person": "Ann"}).status_code == 200
    again = client.delete("/v1/galleries/staff/people", params={"person": ["s1", "Ann"]})
    assert again.status_code == 404 and again.json()["error"]["code"] == "not_enrolled"
    assert len(client.get("/v1/galleries/staff/people").json()["people"]) == 2
