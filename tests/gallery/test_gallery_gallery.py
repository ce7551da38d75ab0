"""`fm.Gallery`: enrolment through the gate, and answers to "who is this?"."""

import math
import shutil

import cv2
import numpy as np
import pytest
import torch

import facemargin as fm
from facemargin.decision.checked_model import CheckedModel
from facemargin.decision.shipped import shipped_calibration
from facemargin.detection.face import Face
from facemargin.errors import ConfigError, DataError, OutputError
from facemargin.evaluation.checked_quality import QualityCheck
from facemargin.features.pooling import pool_by_quality
from facemargin.gallery.identification import Candidate, decide
from facemargin.gallery.rule import SearchRule, calibrated_rule, certified_rule, percent

FPIR = 0.2


class Pixels(torch.nn.Module):
    """A recogniser without weights to train: coarse pixels, less their mean."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        coarse = torch.nn.functional.adaptive_avg_pool2d(images.mean(dim=1, keepdim=True), 12).flatten(1)
        return coarse - coarse.mean(dim=1, keepdim=True)


@pytest.fixture(scope="module")
def model():
    return fm.wrap(Pixels(), input_size=48)


@pytest.fixture(scope="module")
def calibration(model):
    return fm.calibrate(model, fm.open_verification("orl:21-40"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folders of people 1 to 5, four images each."""
    root = tmp_path_factory.mktemp("people")
    faces = fm.open_images("orl:1-5")
    for person in range(5):
        (root / f"s{person + 1}").mkdir()
        for number in range(4):
            cv2.imwrite(str(root / f"s{person + 1}" / f"{number}.png"), faces.read(10 * person + number)[:, :, ::-1])
    return root


@pytest.fixture
def gallery(tmp_path, model, calibration):
    with fm.Gallery.create(tmp_path / "gallery", model, calibration=calibration) as made:
        yield made


def test_merging_and_splitting(gallery, folder):
    gallery.enrol(folder, gate="off")
    s1 = [image.number for image in gallery.images("s1")]
    assert gallery.merge("s2", "s1") == 4 and [person.name for person in gallery.people] == ["s1", "s3", "s4", "s5"]
    with pytest.raises(DataError, match="'s2'"):
        gallery.merge("s2", "s1")
    with pytest.raises(DataError, match="'s9'"):
        gallery.merge("s1", "s9")
    with pytest.raises(ConfigError, match="the same person"):
        gallery.merge("s1", "s1")
    own = [image.number for image in gallery.images("s1")]
    for numbers, name, says in (
        ([own[0], 999], "s2", "image 999 is not of 's1'"),
        (own, "s2", "8 images of the 8 of 's1'"),
        ([], "s2", "0 images of the 8"),
        (own[:1], "s3", "'s3' is enrolled already"),
        (own[:1], " ", "is empty"),
    ):
        with pytest.raises(ConfigError, match=says):
            gallery.split("s1", numbers, name)
    gallery.split("s1", [number for number in own if number not in s1], "s2")
    assert [image.number for image in gallery.images("s1")] == s1 and len(gallery) == 5 and gallery.check() == []


def test_in_milvus(tmp_path, model, calibration, folder, gallery):
    """A gallery in Milvus answers as one in a folder does, to the bit."""
    pytest.importorskip("milvus_lite", reason='pip install "facemargin[milvus]"')
    place = f"milvus:{tmp_path}/gallery.db"
    probes = [fm.open_images("orl:1-6").read(number) for number in (5, 17, 55)]
    with fm.Gallery.create(place, model, calibration=calibration) as made:
        assert str(place) in repr(made)
        for one in (made, gallery):
            one.enrol(folder, gate="off")
            one.merge("s5", "s4")
        assert made.identify(probes, fpir=FPIR) == gallery.identify(probes, fpir=FPIR)
        made.export(tmp_path / "milvus.npz")
        gallery.export(tmp_path / "folder.npz")
    with np.load(tmp_path / "milvus.npz") as found, np.load(tmp_path / "folder.npz") as expected:
        assert all(np.array_equal(found[name], expected[name]) for name in expected)


def codes(outcome):
    return [reason.code for reason in outcome.reasons]


def test_enrolling_a_folder_and_asking(gallery, model, folder):
    done = gallery.enrol(folder, gate="off", consent="form 7")
    assert done.count("enrolled") == 20 and done.not_checked == ()
    assert [(one.name, one.images) for one in gallery.people] == [(f"s{number}", 4) for number in range(1, 6)]
    image = gallery.images("s2")[1]
    expected = model.embed([folder / "s2" / "1.png"])
    assert image.source == str(folder / "s2" / "1.png") and image.consent == "form 7"
    assert (image.norm, image.quality) == (pytest.approx(expected.norms[0]), pytest.approx(expected.quality[0]))
    faces = fm.open_images("orl:1-5")
    answers = gallery.identify([faces.read(10 * person + 5) for person in range(5)], fpir=FPIR)
    assert [answer.candidates[0].person for answer in answers] == ["s1", "s2", "s3", "s4", "s5"]
    everybody = {person.name: model.embed(sorted((folder / person.name).iterdir())) for person in gallery.people}
    probe = model.embed([faces.read(5)]).vectors[0].astype(np.float64)
    for candidate in answers[0].candidates:
        alike = np.ones(4, np.float32)  # this quality is not shown to help, so all images count alike
        template = pool_by_quality(
            fm.evaluation.Embeddings(everybody[candidate.person].vectors, alike, alike), np.zeros(4, np.int64)
        )
        assert candidate.score == pytest.approx(float(template.vectors[0].astype(np.float64) @ probe), abs=1e-6)
    assert repr(gallery).endswith("gallery: 5 people, 20 images>") and len(gallery) == 5
    assert gallery.check() == []


def test_it_can_be_repeated(gallery, folder):
    """As after it was broken off: what is enrolled is passed over."""
    gallery.enrol([folder / "s1" / "0.png", fm.open_images("orl:1").read(1)], "s1", gate="off")
    again = gallery.enrol(folder, gate="off")
    assert (again.count("enrolled already"), again.count("enrolled")) == (2, 18)
    assert gallery.enrol(folder, gate="refuse").count("enrolled already") == 20 and gallery.check() == []


@pytest.mark.parametrize("mode", ["refuse", "warn", "review"])
def test_the_gate(gallery, folder, tmp_path, mode):
    gallery.enrol(folder, gate="off")
    gallery.remove("s5")
    good = [cv2.imread(str(folder / "s5" / f"{number}.png"))[:, :, ::-1] for number in range(3)]
    wrong = cv2.imread(str(folder / "s1" / "3.png"))[:, :, ::-1]
    blurred = cv2.GaussianBlur(cv2.imread(str(folder / "s5" / "3.png"))[:, :, ::-1], (0, 0), 3)
    (tmp_path / "broken.png").write_bytes(b"x")
    done = gallery.enrol(
        [*good, wrong, blurred, tmp_path / "broken.png"], "s5", gate=mode, limits=fm.QualityGate(min_sharpness=0.3)
    )
    by_outcome = [one.outcome for one in done.outcomes]
    against = {"refuse": "refused", "warn": "enrolled", "review": "in review"}[mode]
    assert by_outcome == ["enrolled"] * 3 + [against] * 2 + ["refused"], [codes(one) for one in done.outcomes]
    another = next(reason for reason in done.outcomes[3].reasons if reason.code == "looks_like_another")
    assert "with 's1'" in another.words and "disagrees" in codes(done.outcomes[3])
    assert "blurred" in codes(done.outcomes[4]) and codes(done.outcomes[5]) == ["unreadable"]
    assert math.isnan(done.outcomes[5].quality) and done.reasons()["blurred"] == 1
    assert any("aligned already" in text for text in done.not_checked)
    assert any("model's quality, because it is never checked" in text for text in done.not_checked)
    person = next(one for one in gallery.people if one.name == "s5")
    assert (person.images, person.in_review) == {"refuse": (3, 0), "warn": (5, 0), "review": (3, 2)}[mode]
    waiting = gallery.in_review()
    if mode == "review":
        assert [one.reasons for one in waiting] == [one.reasons for one in done.outcomes[3:5]]
        gallery.accept(waiting[1].number)
        gallery.remove_images(waiting[0].number)
    assert gallery.in_review() == [] and gallery.check() == []


def test_what_waits_is_decided_on_once(gallery, folder):
    for person in ("s1", "s2"):
        dark = [cv2.imread(str(folder / person / f"{number}.png")) // 16 for number in (0, 1)]
        gallery.enrol(dark, person, gate="review")
    first, second, third, _ = (image.number for image in gallery.in_review())
    assert [image.number for image in gallery.in_review(after=first, limit=2)] == [second, third]
    for accept, reject, says in (([first], [first], "is to be accepted and to be rejected"), ([first, 99], [], "99")):
        with pytest.raises(ConfigError, match=says):
            gallery.review(accept, reject)
    decided = gallery.review(accept=[first, first], reject=[third])
    assert [(image.number, image.person) for image in decided] == [(first, "s1"), (third, "s2")]
    with pytest.raises(ConfigError, match=f"image {first} does not wait for a decision; nothing has changed"):
        gallery.review(reject=[second, first])  # somebody else has accepted it: it is not to be deleted
    assert gallery.counts() == (1, 1, 2) and gallery.check() == []
    assert gallery.review() == []


def test_disagreeing(gallery, folder, model, calibration):
    """An image unlike the person's others, who are enrolled already or come with it, and like nobody else."""
    stranger = fm.open_images("orl:12").read(0)
    vectors = model.embed([folder / "s1" / f"{number}.png" for number in range(4)] + [stranger]).vectors
    limit = calibration.at(0.01).threshold
    alone = pool_by_quality(
        fm.evaluation.Embeddings(vectors[:4], np.ones(4, np.float32), np.ones(4, np.float32)), np.zeros(4, np.int64)
    )
    assert float(alone.vectors[0] @ vectors[4]) < limit  # or this test shows nothing
    gallery.enrol([folder / "s1" / f"{number}.png" for number in range(3)], "s1", gate="off")
    done = gallery.enrol([folder / "s1" / "3.png", stranger], "s1")
    assert [codes(one) for one in done.outcomes] == [[], ["disagrees"]]
    assert f"expected at least {limit:.4f}" in done.outcomes[1].reasons[0].words


def test_somebody_under_two_names(gallery, folder, tmp_path):
    """Also within one enrolment: the first is enrolled, the second refused."""
    for name in ("ann", "bob"):
        (tmp_path / "twice" / name).mkdir(parents=True)
        (tmp_path / "twice" / name / "0.png").write_bytes((folder / "s1" / "0.png").read_bytes())
    first, second = gallery.enrol(tmp_path / "twice", limits=fm.QualityGate(min_sharpness=0.1)).outcomes
    assert (first.outcome, second.outcome, codes(second)) == ("enrolled", "refused", ["looks_like_another"])
    assert "score 1.0000 with 'ann'" in second.reasons[0].words


class Boxes:
    """A detector for tests: as many faces as the first pixel says."""

    name, settings = "boxes", {"size": 1}

    def detect(self, image):
        landmarks = np.array([[30.0, 40], [62, 40], [46, 60], [34, 75], [58, 75]])
        return [Face((0.0, 0.0, 92.0, 92.0 - place), 0.9, landmarks) for place in range(int(image[0, 0, 0]))]


def test_finding_faces(tmp_path, model, calibration):
    image = fm.open_images("orl:1").read(0).copy()
    shown = []
    for number in (1, 0, 2):
        image[0, 0, 0] = number
        shown.append(image.copy())
    made = fm.Gallery.create(tmp_path / "gallery", model, detector=Boxes(), calibration=calibration)
    done = made.enrol(shown, "ann", gate="review")
    assert [(one.outcome, codes(one)[-1:]) for one in done.outcomes] == [
        ("enrolled", []),
        ("refused", ["no_face"]),
        ("in review", ["several_faces"]),
    ]
    assert (
        made.enrol(shown[2], "bob", gate="warn", on_several="largest").outcomes[0].reasons[-1].code != "several_faces"
    )
    none, several = made.identify([shown[1], shown[2]], on_several="error", fpir=FPIR)
    assert none.decision == several.decision == "too poor to decide"
    assert none.reasons[0].code == "no_face" and several.reasons[0].code == "several_faces"
    made.close()
    other = Boxes()
    other.settings = {"size": 2}
    for given, says in ((other, "size 1.*size 2"), (None, "not registered here")):
        with pytest.raises(ConfigError, match=says), fm.Gallery(tmp_path / "gallery", model, detector=given) as opened:
            opened.identify(shown[0])


def test_answers(gallery, folder):
    gallery.enrol(folder, gate="off")
    faces = fm.open_images("orl:1-12")
    rule = gallery.rule(FPIR)
    answers = gallery.identify(faces, fpir=FPIR)
    assert {answer.decision for answer in answers} <= {"this person", "nobody enrolled", "cannot tell"}
    for answer in answers:
        reaching = [one.person for one in answer.candidates if one.score >= rule.accept]
        expected = {0: "nobody enrolled", 1: "this person"}.get(len(reaching), "cannot tell")
        assert answer.decision == expected and answer.person == (reaching[0] if len(reaching) == 1 else None)
    known = [answer for answer, label in zip(answers, faces.labels, strict=True) if label < 5]
    assert sum(answer.decision == "this person" for answer in known) > 25
    assert "with 5 people enrolled at most 10 % of the searches" in rule.words[0]
    (alone,) = gallery.identify(folder / "s1" / "0.png", fpir=FPIR, candidates=1)
    assert alone.person == "s1" and [one.person for one in alone.candidates] == ["s1"]


def test_a_group_is_one_probe(gallery, folder):
    gallery.enrol(folder, gate="off")
    faces = fm.open_images("orl:1-2")
    order = [5, 15, 6, 16, 7]
    groups = ["a", "b", "a", "b", "a"]
    first, second = gallery.identify([faces.read(index) for index in order], groups, fpir=FPIR)
    assert (first.candidates[0].person, second.candidates[0].person) == ("s1", "s2")
    assert len(first.sources) == 3 and len(second.sources) == 2
    embedded = gallery.model.embed([faces.read(index) for index in (5, 6, 7)])
    pooled = pool_by_quality(
        fm.evaluation.Embeddings(embedded.vectors, np.ones(3, np.float32), np.ones(3, np.float32)),
        np.zeros(3, np.int64),
    )
    alone = gallery._store.search(pooled.vectors, 1)
    assert first.score == alone.scores_PK[0, 0]
    with pytest.raises(ConfigError, match="2 values for 1 image"):
        gallery.identify(faces.read(0), ["a", "b"])


def test_quality_that_helps_is_used(tmp_path, model, calibration, folder, monkeypatch):
    check = QualityCheck("norm", "faces", 10, 5, (), {}, (), (), "person", (), None, None, "helps", (), ())
    monkeypatch.setattr(
        "facemargin.gallery.binding.shipped_check", lambda model: CheckedModel.of(model, {"norm": check})
    )
    with fm.Gallery.create(tmp_path / "gallery", model, calibration=calibration) as made:
        made.enrol(folder, gate="off")
        assert made.binding.quality_helps and made.rule().quality_floor == calibration.at(0.5).quality_floor
        grey = (0.1 * fm.open_images("orl:1").read(0) + 100).astype(np.uint8)
        (answer,) = made.identify(grey)
        assert answer.quality < made.rule().quality_floor
        assert (answer.decision, answer.person, answer.reasons[0].code) == ("too poor to decide", None, "low_quality")
        assert made.enrol(grey, "eve", limits=fm.QualityGate(min_contrast=1)).reasons()["low_quality"] == 1
        (pooled,) = made.identify([grey, folder / "s1" / "0.png"], ["x", "x"], fpir=FPIR)
        assert pooled.person == "s1" and "1 of 2 images left out" in pooled.reasons[0].words
        assert f"quality {pooled.quality:.4g} of the images that count, enough from" in pooled.explain(made.rule())[-1]


def candidates(*scores):
    return [Candidate(name, score) for name, score in zip("abc", scores, strict=False)]


@pytest.mark.parametrize(
    ("scores", "reject", "quality", "expected"),
    [
        ([0.6, 0.2], 0.5, 9, "this person"),
        ([0.5], 0.5, 9, "this person"),
        ([0.6, 0.5], 0.5, 9, "cannot tell"),
        ([0.49, 0.2], 0.5, 9, "nobody enrolled"),
        ([0.49, 0.2], 0.3, 9, "cannot tell"),
        ([0.29, 0.2], 0.3, 9, "nobody enrolled"),
        ([0.29, 0.2], None, 9, "cannot tell"),
        ([], 0.5, 9, "nobody enrolled"),
        ([0.9], 0.5, 4.9, "too poor to decide"),
        ([0.9], 0.5, 5, "this person"),
    ],
)
def test_what_is_decided(scores, reject, quality, expected):
    answer = decide(["x"], quality, candidates(*scores), SearchRule(0.5, reject, 5.0, ()))
    assert answer.decision == expected and (answer.person == "a") == (expected == "this person")
    assert bool(answer.reasons) == (expected in ("cannot tell", "too poor to decide"))


def test_the_threshold_follows_the_number_of_people(gallery, calibration):
    lowest = calibration.thresholds[-1].target_fmr
    few, many = (calibrated_rule(calibration, gallery.binding, people, FPIR) for people in (2, 40))
    assert few.accept == calibration.at(FPIR / 2).threshold < many.accept == calibration.at(FPIR / 40).threshold
    assert len(few.words) == 1 and f"at most {percent(40 * calibration.at(FPIR / 40).target_fmr)}" in many.words[0]
    beyond = calibrated_rule(calibration, gallery.binding, 10**6, FPIR)
    assert beyond.accept == calibration.at(lowest).threshold and "at most 100 %" in beyond.words[0]
    assert f"measures none below {lowest:g}" in beyond.words[1]
    given = calibrated_rule(calibration, gallery.binding, 40, fmr=0.1)
    assert given.accept == calibration.at(0.1).threshold and "at most 100 %" in given.words[0]
    with pytest.raises(ConfigError, match="FPIR is 2"):
        calibrated_rule(calibration, gallery.binding, 40, 2)


def test_a_certificate_of_pairs(tmp_path, model, folder):
    certificate = fm.certify(model, fm.open_images("orl:1-40"), fmr=0.2, fnmr=0.4)
    with fm.Gallery.create(tmp_path / "gallery", model, certificate=certificate) as made:
        made.enrol(folder, gate="off")
        rule = made.rule()
        best = certificate.thresholds.bands[0]
        assert (rule.accept, rule.reject) == (best.fmr.threshold, best.fnmr.threshold)
        assert "FMR of at most 0.2" in rule.words[0] and "at most 100 %" in rule.words[0]
        assert certified_rule(certificate, made.binding, 3).words[0].count("at most 60 %") == 1
        for rate in ({"fmr": 0.1}, {"fpir": 0.1}):
            with pytest.raises(ConfigError, match=f"rates of its own: leave out {next(iter(rate))}"):
                made.identify(folder / "s1" / "0.png", **rate)
        with pytest.raises(ConfigError, match="fpir and fmr are both given"):
            made.rule(fpir=0.1, fmr=0.1)
        with pytest.raises(ConfigError, match="expected one of them"):
            fm.Gallery(tmp_path / "gallery", model, certificate=certificate, calibration=object())


def test_another_model(tmp_path, gallery, folder, model, calibration):
    gallery.enrol(folder, gate="off")
    other = fm.wrap(torch.nn.Sequential(Pixels(), torch.nn.Linear(144, 144)), input_size=48)
    with pytest.raises(ConfigError, match=r"another model, or of this one before it changed .* created with"):
        fm.Gallery(tmp_path / "gallery", other)
    with pytest.raises(ConfigError, match="model that was given in Python: give it again"):
        fm.Gallery(tmp_path / "gallery").identify(folder / "s1" / "0.png")
    with pytest.raises(ConfigError, match="calibration belongs to another model"):
        fm.Gallery(tmp_path / "gallery", model, calibration=fm.calibrate(other, fm.open_verification("orl:1-2")))
    assert shipped_calibration(model) is None
    (answer,) = fm.Gallery(tmp_path / "gallery", model).identify(folder / "s1" / "0.png")
    assert answer.decision is None and answer.candidates[0].person == "s1" and answer.person is None
    assert len(fm.Gallery(tmp_path / "gallery")) == 5  # listing needs no model


def test_a_vector_without_a_direction_is_refused(gallery, folder):
    flat = np.full((48, 48, 3), 128, np.uint8)  # of which this model sees nothing
    for gate in ("off", "warn", "refuse", "review"):
        (one,) = gallery.enrol(flat, "Ann", gate=gate).outcomes
        assert (one.outcome, [reason.code for reason in one.reasons]) == ("refused", ["no_direction"])
    gallery.enrol(folder / "s1" / "0.png", "Bo", gate="off")
    (answer,) = gallery.identify(flat)
    assert answer.decision == "too poor to decide" and "no direction" in answer.reasons[0].words
    assert gallery.check() == []


def test_numbers_are_no_names(gallery, caplog):
    numbered = fm.open_images("orl:1-2")
    numbered.has_names = False
    gallery.enrol(numbered, gate="off")
    assert "numbers its people instead of naming them" in caplog.text


def test_a_name_that_lists_would_show_as_another_is_refused(gallery, folder, tmp_path):
    picture = folder / "s1" / "0.png"
    for name in (
        "Ann\nLee",
        "Ann\0",
        "\x1b[2KAnn",
        "\u202eeel nnA",
        "Ann\u2028Lee",
        "Ann\u200b",
        "An\u200cn",
        "Ann\u200d",
        "\ufeffAnn",
        "Ann\n",
        "A\u00adnn",
    ):
        with pytest.raises(ConfigError, match="cannot be shown or that turn the direction of text: remove them"):
            gallery.enrol(picture, name, gate="off")
    for name in ("山田\u3000太郎", "علی\u200cرضا", "../x", "<b>Ann</b>", "O\u2019Neil\u00a0Jr."):
        gallery.enrol(picture, name, gate="off")
    gallery.enrol(folder / "s1" / "1.png", "../x", gate="off")
    with pytest.raises(ConfigError, match="cannot be shown"):
        gallery.split("../x", [gallery.images("../x")[0].number], "a\tb")
    assert len(gallery) == 5


def test_one_name_is_one_person_however_it_is_written(gallery, folder, tmp_path):
    shutil.copytree(folder / "s1", tmp_path / "people" / "Åsa  Öst ")
    (tmp_path / "list.csv").write_text(f"path,label\n{folder / 's2' / '0.png'}, A\u030asa \u00d6st\n")
    gallery.enrol(tmp_path / "people", gate="off")
    gallery.enrol(tmp_path / "list.csv", gate="off")
    gallery.enrol(folder / "s2" / "1.png", " A\u030asa O\u0308st ", gate="off")
    assert [person.name for person in gallery.people] == ["Åsa Öst"]
    assert gallery.enrolled([" A\u030asa  Öst", "åsa öst"]) == [True, False]
    assert len(gallery.images("Åsa Öst ")) == len(gallery.images()) > 3
    gallery.enrol(folder / "s3" / "0.png", "x" * 200, gate="off")
    with pytest.raises(ConfigError, match="has 201 characters, at most 200 are taken: 'xxx"):
        gallery.enrol(folder / "s3" / "1.png", "x" * 201, gate="off")
    with pytest.raises(ConfigError, match="consent has 1,001 characters"):
        gallery.enrol(folder / "s3" / "1.png", "x", gate="off", consent="y" * 1001)
    assert gallery.remove("Åsa Öst", "Åsa  Öst") > 3 and len(gallery) == 1


def test_a_name_that_an_earlier_version_took_is_found(gallery, folder):
    gallery.enrol(folder / "s1" / "0.png", "Ann", gate="off")
    gallery._store.move_images([image.number for image in gallery.images("Ann")], "Ann ")
    assert gallery.enrolled(["Ann ", "Ann"]) == [True, False] and gallery.remove("Ann ")


def test_wrong_calls(tmp_path, gallery, folder):
    for call, error, says in (
        (lambda: gallery.enrol(folder / "s1" / "0.png", " "), ConfigError, "name of a person is empty"),
        (lambda: gallery.enrol([folder / "s1" / "0.png"]), DataError, "nobody says who is in the images"),
        (lambda: gallery.enrol(folder, gate="none"), ConfigError, "gate is 'none', expected one of off"),
        (lambda: gallery.enrol(folder, on_several="all"), ConfigError, "on_several is 'all'"),
        (lambda: gallery.identify(folder / "s1" / "0.png", candidates=0), ConfigError, "candidates is 0"),
        (lambda: gallery.remove("eve"), DataError, "nobody is enrolled as 'eve'"),
        (lambda: gallery.images("eve"), DataError, "nobody is enrolled as 'eve'"),
        (lambda: fm.Gallery("milvus:a.db"), DataError, "there is no a"),
        (lambda: fm.Gallery(tmp_path / "nowhere"), DataError, "is no gallery"),
        (lambda: fm.Gallery.create(tmp_path, gallery.model), ConfigError, "exists already"),
    ):
        with pytest.raises(error, match=says):
            call()
    second = fm.Gallery(tmp_path / "gallery", gallery.model)
    with gallery._store.writing("enrolling"), pytest.raises(OutputError, match="is being written by process"):
        second.enrol(folder)
    second.close()
    assert len(gallery) == 0


def test_a_person_who_is_removed_during_a_search_is_not_in_its_answer(gallery, monkeypatch):
    gallery.enrol(fm.open_images("orl:1-3"), gate="off")
    search, removed = gallery._store.search, []

    def search_then_remove(*arguments):
        found = search(*arguments)
        if not removed:
            removed.append(gallery.remove("s2"))
        return found

    monkeypatch.setattr(gallery._store, "search", search_then_remove)
    (answer,) = gallery.identify(fm.open_images("orl:2").read(0))
    assert removed == [10] and sorted(one.person for one in answer.candidates) == ["s1", "s3"]
    assert gallery.enrolled(["s1", "s2"]) == [True, False] and gallery.counts() == (2, 20, 0)
    assert [person.name for person in gallery.each_person()] == ["s1", "s3"]
