"""What is promised of searches in one gallery."""

import json

import numpy as np
import pytest

import facemargin as fm
from facemargin.data.source import labeled_subset
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.metrics.certified_bound import largest_observed, units_needed
from facemargin.gallery.certificate import GalleryCertificate, certified_search_rate
from tests.gallery.test_gallery_gallery import Pixels


@pytest.fixture(scope="module")
def model():
    return fm.wrap(Pixels(), input_size=48)


@pytest.fixture
def gallery(tmp_path, model):
    """People 1 to 4 by five images each; the names are those of ORL."""
    with fm.Gallery.create(tmp_path / "gallery", model) as made:
        made.enrol(labeled_subset(fm.open_images("orl:1-4"), [n for n in range(40) if n % 10 < 5]), gate="off")
        yield made


@pytest.fixture(scope="module")
def others():
    """The enrolled people's other images, and 30 strangers."""
    faces = fm.open_images("orl:1-34")
    keep = [index for index in range(len(faces)) if index >= 40 or index % 10 >= 5]
    return labeled_subset(faces, keep)


@pytest.mark.parametrize("seed", range(4))
def test_the_threshold_is_the_lowest_that_is_certified(seed):
    generator = np.random.default_rng(seed)
    people = np.concatenate([np.arange(60), generator.integers(0, 60, 90)])
    scores = np.round(generator.normal(size=len(people)), 1 if seed % 2 else 9)  # also equal ones
    scores[generator.random(len(people)) < 0.1] = -np.inf
    found = certified_search_rate(scores, people, 0.3, 0.05)
    largest = largest_observed(0.3, 60, 0.05)

    def rate(threshold):
        return np.mean([np.mean(scores[people == person] >= threshold) for person in range(60)])

    allowed = [value for value in sorted(set(scores.tolist())) if np.isfinite(value) and rate(value) <= largest]
    above = max(value for value in scores.tolist() if np.isfinite(value) and value < allowed[0])
    assert above < found.threshold <= allowed[0] and rate(found.threshold) <= largest < rate(above)
    assert found.observed == pytest.approx(rate(found.threshold)) and (found.people, found.searches) == (60, 150)


def test_too_few_people():
    found = certified_search_rate(np.zeros(298), np.arange(298), 0.01, 0.05)
    assert found.threshold is None and found.people_needed == units_needed(0.01, 0, 0.05) == 299
    assert found.refusal("FPIR", "strangers").startswith("FPIR 0.01 needs 299 strangers with no error, there are 298")
    assert certified_search_rate(np.zeros(299), np.arange(299), 0.01, 0.05).threshold > 0
    assert certified_search_rate([], [], 0.01, 0.05).lowest == 1


def test_a_promise_is_kept_and_used(gallery, others, tmp_path, model):
    certificate = gallery.certify(others, 0.2, fnir=0.9)
    assert certificate.promises and certificate.fpir.people == 30 and certificate.fnir.people == 4
    certificate.save(tmp_path / "c.json")
    assert GalleryCertificate.load(tmp_path / "c.json") == certificate
    names = [others.identity_names[label] for label in others.labels]
    with fm.Gallery(tmp_path / "gallery", model, certificate=certificate) as opened:
        answers = opened.identify(others)
        found = {name: [] for name in names}
        for answer, name in zip(answers, names, strict=True):
            found[name].append(answer.score >= certificate.fpir.threshold)
        rate = np.mean([np.mean(of_person) for name, of_person in found.items() if int(name[1:]) > 4])
        assert rate == pytest.approx(certificate.fpir.observed) and rate <= largest_observed(0.2, 30, 0.025)
        assert (
            "at most 1 of 5 searches with one image" in opened.rule().words[0] and "30 people" in opened.rule().words[0]
        )
        with pytest.raises(ConfigError, match="rates of its own"):
            opened.rule(fmr=0.1)
        gallery.remove("s4")
        with pytest.raises(ConfigError, match="is another gallery or has changed since"):
            opened.identify(others)
    alone = gallery.certify(others, 0.2)
    assert alone.fnir is None and alone.rule().reject is None
    refused = gallery.certify(others, 1e-3)
    assert not refused.promises and "needs 2,995 people who are not enrolled" in refused.refusals[0]
    with pytest.raises(ConfigError, match=r"promises nothing: FPIR 0\.001 needs"):
        fm.Gallery(tmp_path / "gallery", model, certificate=refused)


def test_what_cannot_be_certified(gallery, others):
    with pytest.raises(DataError, match=r"20 pictures are enrolled, too; the first is"):
        gallery.certify(fm.open_images("orl:1-30"))
    with pytest.raises(DataError, match="names of their people"):
        gallery.certify([others.read(0)])
    for options, says in (({"fpir": 0}, "FPIR is 0"), ({"fnir": 1.5}, "FNIR is 1.5"), ({"confidence": 1}, "confid")):
        with pytest.raises(ConfigError, match=says):
            gallery.certify(others, **options)


def test_damaged_certificates(gallery, others, tmp_path):
    gallery.certify(others, 0.2).save(tmp_path / "c.json")
    content = json.loads((tmp_path / "c.json").read_text())
    for field, value in (
        ("format", "x"),
        ("fpir", {**content["fpir"], "threshold": None}),
        ("fpir", {**content["fpir"], "target": 1}),
        ("confidence", 1.0),
        ("enrolled", -1),
        ("quality_floor", "high"),
        ("more", 1),
    ):
        (tmp_path / "d.json").write_text(json.dumps(content | {field: value}))
        with pytest.raises(DataError, match=rf"d.json cannot be read .*{field}"):
            GalleryCertificate.load(tmp_path / "d.json")
    with pytest.raises(DataError, match=r"nowhere\.json cannot be read"):
        GalleryCertificate.load(tmp_path / "nowhere.json")
