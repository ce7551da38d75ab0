"""The service's answers are the library's."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import facemargin as fm
from facemargin.data.source import encode_png, labeled_subset
from facemargin.detection.detector import create_detector
from facemargin.gallery.certificate import GalleryCertificate, certified_search_rate
from facemargin.serving.app import create_app
from tests.photographs import orl_photograph
from tests.serving.asking import client_of, code_of, images, pair


@pytest.fixture
def client(parts, staff):
    with client_of(parts, galleries={"staff": staff}) as client:
        yield client


def test_verify(client, parts):
    answer = client.post("/v1/verify", files=pair(*parts.png[:2]), data={"fmr": "0.1"}).json()
    expected = fm.verify(parts.model, parts.faces.read(0), parts.faces.read(1), parts.calibration, 0.1)
    found = (answer["score"], answer["quality_a"], answer["quality_b"], answer["decision"])
    assert found == (expected.score, expected.quality_a, expected.quality_b, expected.decision)
    assert answer["threshold"]["threshold"] == expected.threshold.threshold
    assert parts.calibration.doubt(0.1) in answer["notes"] or parts.calibration.doubt(0.1) == ""
    assert answer["quality_words"] == "never checked (facemargin quality --check)"


def test_verify_with_a_certificate(parts):
    people = labeled_subset(fm.open_images("orl"), range(0, 400, 10))  # one picture of each
    certificate = fm.certify(parts.model, people, fmr=0.3)
    with client_of(parts, calibration=None, certificate=certificate) as client:
        answer = client.post("/v1/verify", files=pair(*parts.png[:2])).json()
        expected = fm.verify(parts.model, parts.faces.read(0), parts.faces.read(1), certificate=certificate)
        found = (answer["decision"], answer["score"], answer["guarantee"])
        assert found == (expected.decision, expected.score, expected.guarantee) and expected.guarantee


def test_verify_without_thresholds_has_no_decision(parts):
    with client_of(parts, calibration=None) as client:
        answer = client.post("/v1/verify", files=pair(*parts.png[:2])).json()
        assert answer["decision"] is None and answer["threshold"] is None
        assert code_of(client.post("/v1/verify", files=pair(*parts.png[:2]), data={"fmr": "0.1"}))[0] == 422


def test_embed_and_quality(client, parts):
    found = client.post("/v1/embed", files=images(parts.png[0], b"none", parts.png[1])).json()["images"]
    expected = parts.model.embed([parts.faces.read(0), parts.faces.read(1)])
    assert np.array_equal(np.float32([found[0]["vector"], found[2]["vector"]]), expected.vectors)
    assert found[1]["vector"] is None and found[1]["problem"]["code"] == "unreadable"
    assert "images[1]" in found[1]["problem"]["words"]
    dark = encode_png((parts.faces.read(0) // 20).astype(np.uint8))
    rated = client.post("/v1/quality", files=images(parts.png[0], dark)).json()["images"]
    assert rated[0]["quality"] == float(expected.quality[0])
    statistics = fm.image_statistics((parts.faces.read(0) // 20).astype(np.uint8))
    assert rated[1]["reasons"] == [{"code": one.code, "words": one.words} for one in statistics.reasons()]
    assert "too_dark" in [one["code"] for one in rated[1]["reasons"]]


def test_what_the_verb_warns_of_is_in_the_answer(client, parts):
    wide = encode_png(np.concatenate([parts.faces.read(0)] * 2, 1))
    notes = client.post("/v1/embed", files=images(wide, parts.png[0])).json()["notes"]
    assert len(notes) == 1 and "1 of the 2 images is not square (images[0]: " in notes[0]
    assert client.post("/v1/embed", files=images(parts.png[0])).json()["notes"] == []


def test_photographs(parts, tmp_path):
    detector = create_detector("centerface")
    photo, nothing = orl_photograph(3), np.full((200, 300, 3), 90, np.uint8)
    with client_of(parts, detector=detector, detect=True) as client:
        files = pair(encode_png(photo), encode_png(photo[:, ::-1].copy()))
        answer = client.post("/v1/verify", files=files, data={"fmr": "0.1"}).json()
        expected = fm.verify(parts.model, photo, photo[:, ::-1].copy(), parts.calibration, 0.1, detector=detector)
        assert (answer["score"], answer["decision"]) == (expected.score, expected.decision)
        assert answer["found_a"]["face"]["box"] == list(expected.found_a.face.box)
        assert answer["found_a"]["num_faces"] == expected.found_a.num_faces
        refused = client.post("/v1/verify", files=pair(encode_png(photo), encode_png(nothing)))
        assert code_of(refused) == (422, "no_face") and "image_b" in refused.json()["error"]["message"]
        found = client.post("/v1/detect", files=images(encode_png(photo), b"?")).json()["images"]
        assert [face["box"] for face in found[0]["faces"]] == [list(face.box) for face in fm.detect(photo, detector)]
        assert found[1]["faces"] == [] and found[1]["problem"]["code"] == "unreadable"
    with client_of(parts) as client:
        assert code_of(client.post("/v1/detect", files=images(parts.png[0]))) == (501, "no_detector")


def test_people_are_enrolled_found_and_removed(client, parts, staff):
    found = client.post("/v1/galleries/staff/people", files=images(*parts.png[20:23]), data={"person": "Zoë"}).json()
    assert [one["outcome"] for one in found["outcomes"]].count("enrolled") >= 1 and found["person"] == "Zoë"
    answer = client.post("/v1/galleries/staff/identify", files=images(parts.png[5], parts.png[35])).json()
    pooled = client.post(
        "/v1/galleries/staff/identify", files=images(*parts.png[24:27]), data={"pool": "true", "candidates": "1"}
    ).json()
    with fm.Gallery(staff, parts.model, calibration=parts.calibration) as gallery:
        expected = gallery.identify([parts.faces.read(5), parts.faces.read(35)])
        (together,) = gallery.identify([parts.faces.read(n) for n in (24, 25, 26)], [0, 0, 0], candidates=1)
        assert answer["rule"]["words"] == list(gallery.rule().words)
        names = [person.name for person in gallery.people]
    for ours, theirs in zip(answer["answers"] + pooled["answers"], [*expected, together], strict=True):
        assert (ours["decision"], ours["person"], ours["score"]) == (theirs.decision, theirs.person, theirs.score)
        assert [one["person"] for one in ours["candidates"]] == [one.person for one in theirs.candidates]
        assert [one["words"] for one in ours["reasons"]] == [one.words for one in theirs.reasons]
    people = client.get("/v1/galleries/staff/people").json()
    assert [person["name"] for person in people["people"]] == names == ["s1", "s2", "Zoë"]
    first = client.get("/v1/galleries/staff/people", params={"limit": 1}).json()
    client.delete("/v1/galleries/staff/people", params={"person": "s1"})  # between two pages: nobody is passed over
    page = client.get("/v1/galleries/staff/people", params={"after": first["next"], "limit": 1}).json()
    assert [person["name"] for person in page["people"]] == ["s2"] and page["total"] == 2 and page["next"]
    last = client.get("/v1/galleries/staff/people", params={"after": page["next"], "limit": 1}).json()
    assert [person["name"] for person in last["people"]] == ["Zoë"] and last["next"] is None
    assert client.delete("/v1/galleries/staff/people", params={"person": "Zoe\u0308"}).json()["people"] == ["Zoë"]
    again = client.delete("/v1/galleries/staff/people", params={"person": ["s2", "Zoë"]})
    assert code_of(again) == (404, "not_enrolled")
    (gallery,) = client.get("/v1/galleries").json()["galleries"]
    assert (gallery["name"], gallery["people"], gallery["images"]) == ("staff", 1, 3)


def test_images_in_review_come_by_pages(client, parts, staff):
    with fm.Gallery(staff, parts.model) as gallery:
        gallery.enrol([np.full((64, 64, 3), value, np.uint8) for value in (60, 90, 120)], "Ann", gate="review")
    seen, after = [], 0
    while after is not None:
        page = client.get(f"/v1/galleries/staff/review?limit=2&after={after}").json()
        assert page["total"] == 3 and all(image["person"] == "Ann" and image["reasons"] for image in page["images"])
        seen += [image["number"] for image in page["images"]]
        after = page["next"]
    assert len(seen) == 3
    done = client.post(
        "/v1/galleries/staff/review", files=[("accept", (None, str(seen[0]))), ("reject", (None, str(seen[2])))]
    )
    assert {name: done.json()[name] for name in ("accepted", "rejected", "left")} == {
        "accepted": 1, "rejected": 1, "left": 1,
    }  # fmt: skip
    for query in ("limit=0", "limit=1001", "after=-1"):
        assert code_of(client.get(f"/v1/galleries/staff/review?{query}")) == (422, "invalid_value")
    described = client.get("/v1/openapi.json").json()["paths"]["/v1/galleries/{name}/review"]
    assert sorted(described) == ["get", "post"]
    fields = described["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert sorted(fields) == ["accept", "reject"]


def test_a_promise_about_a_gallery_ends_with_its_change(parts, staff):
    with fm.Gallery(staff, parts.model) as gallery:
        state = gallery._store.state()
    rate = certified_search_rate(np.linspace(0, 0.9, 90), np.arange(90), 0.2, 0.05)
    promise = GalleryCertificate(str(staff), state, 2, "faces", rate, None, 0.95, None, 0, "2026-01-01", "1")
    with client_of(parts, galleries={"staff": staff}, gallery_certificates={"staff": promise}) as client:
        asked = images(parts.png[0])
        found = client.post("/v1/galleries/staff/identify", files=asked).json()
        assert found["rule"]["words"] == list(promise.rule().words)
        assert found["notes"] == ["the model's quality is not used: it is never checked (facemargin quality --check)"]
        for rate in ("fpir", "fmr"):
            refused = client.post("/v1/galleries/staff/identify", files=asked, data={rate: "0.1"})
            assert refused.status_code == 422 and f"leave out {rate}" in refused.text
        client.delete("/v1/galleries/staff/people", params={"person": "s2"})
        refused = client.post("/v1/galleries/staff/identify", files=asked)
        assert code_of(refused) == (409, "certificate_ended")
        assert str(staff) not in refused.text and "facemargin gallery certify again" in refused.text


def test_a_gallery_of_another_model_is_refused_at_the_start(parts, staff):
    other = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64).eval(), input_size=64)
    with pytest.raises(fm.ConfigError, match=r"is of another model.* created with a model that was given in Python$"):
        client_of(parts, model=other, calibration=None, galleries={"staff": staff})
    with pytest.raises(fm.ConfigError, match="'guests', which is not served"):
        client_of(parts, gallery_certificates={"guests": None})


def test_openapi_describes_the_pictures(client):
    paths = json.loads(client.get("/v1/openapi.json").text)["paths"]
    assert set(paths) == {
        "/v1/verify", "/v1/detect", "/v1/embed", "/v1/quality", "/v1/galleries", "/v1/galleries/{name}/people",
        "/v1/galleries/{name}/identify", "/v1/galleries/{name}/review", "/healthz", "/metrics",
    }  # fmt: skip
    content = paths["/v1/galleries/{name}/people"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert content["properties"]["images"]["items"]["format"] == "binary"
    assert content["required"] == ["person", "images"]


def test_metrics_count_requests_and_batches_without_names(client, parts):
    client.post("/v1/galleries/staff/identify", files=images(parts.png[0]))
    client.get("/nowhere/secret")
    text = client.get("/metrics").text
    assert 'facemargin_requests_total{route="/v1/galleries/{name}/identify",status="200"} 1.0' in text
    assert 'facemargin_requests_total{route="none",status="404"} 1.0' in text
    assert "facemargin_batch_images_count" in text and "secret" not in text and "staff" not in text


def test_the_document_names_every_code_of_an_error():
    sources = [path.read_text() for path in Path(create_app.__code__.co_filename).parent.glob("*.py")]
    found = {code for source in sources for code in re.findall(r'\b[45]\d\d,\s*"([a-z_]+)"', source)}
    document = (Path(__file__).parents[2] / "docs/serve.md").read_text()
    assert len(found) > 20 and not [code for code in found if f"`{code}`" not in document]
