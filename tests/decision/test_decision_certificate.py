import json
from dataclasses import replace

import numpy as np
import pytest

import facemargin as fm
from facemargin.data.source import ArrayImages, WithLabels
from facemargin.decision.certificate import Certificate
from facemargin.detection import create_detector
from facemargin.errors import ConfigError, DataError, OutputError
from facemargin.evaluation import Embeddings, certify_embeddings, certify_gallery
from tests.models.tiny_models import tiny_model

PEOPLE, IMAGES = 120, 2


def embeddings_of(people=PEOPLE, seed=0, noise=0.3):
    """Two images of each person, the first half of them of poor quality."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), IMAGES)
    vectors = generator.normal(size=(people, 32))[labels] + noise * generator.normal(size=(len(labels), 32))
    quality = np.where(np.arange(len(labels)) < people, 1.0, 5.0).astype(np.float32) + generator.random(len(labels)) / 9
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return Embeddings(vectors, quality.astype(np.float32), quality.astype(np.float32)), labels


def faces_of(labels):
    pixels = np.random.default_rng(1).integers(0, 255, (len(labels), 4, 4, 3), np.uint8)
    return WithLabels(ArrayImages(pixels, "people"), labels, [f"p{n}" for n in range(labels.max() + 1)])


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def certificates(model):
    """One band; two bands of which the poorer is refused; and nothing at all."""
    embeddings, labels = embeddings_of()
    below, above = (float(np.sort(embeddings.quality)[place]) for place in (40, 200))
    made = {
        "one": fm.certify(model, faces_of(labels), fmr=0.1, fnmr=0.2, embeddings=embeddings),
        "two": fm.certify(model, faces_of(labels), 0.13, fnmr=0.3, bands=[below], embeddings=embeddings),
        "best refused": fm.certify(model, faces_of(labels), 0.1, bands=[above], embeddings=embeddings),
        "refused": fm.certify(model, faces_of(labels), fmr=1e-3, embeddings=embeddings),
    }
    assert [made[name].thresholds.quality_floor for name in made] == [None, below, np.inf, None]
    return made


def test_it_promises_what_certify_embeddings_finds(certificates, model):
    embeddings, labels = embeddings_of()
    one = certificates["one"]
    assert one.thresholds == certify_embeddings(embeddings, labels, 0.1, fnmr=0.2)
    assert one.promises and one.refusals == [] and one.lowest_if_all_compared is None
    assert (one.faces.people, one.faces.images, one.views, one.quality) == (PEOPLE, 240, "flip", "norm")
    assert one.lowest_fmr == pytest.approx(1 - 0.025 ** (1 / 60), abs=1e-9)
    assert not certificates["refused"].promises and not certificates["best refused"].promises
    (refusal,) = certificates["refused"].refusals
    assert refusal.startswith("FMR 0.001 needs 5,990 people with no false match, the pairs have 120; ")
    assert [text[:13] for text in certificates["best refused"].refusals] == ["band 1 of 2: "]


@pytest.mark.parametrize("name", ["one", "two", "best refused", "refused"])
def test_it_survives_the_disk(certificates, name, tmp_path):
    given = certificates[name]
    given.save(tmp_path / "new" / "c.json")
    assert Certificate.load(tmp_path / "new" / "c.json") == given
    text = (tmp_path / "new" / "c.json").read_text()
    assert "Infinity" not in text and "NaN" not in text
    found = replace(given, faces=replace(given.faces, detector="toy", settings={"side": 2, "least": 0.5, "of": "x"}))
    found.save(tmp_path / "c.json")
    assert Certificate.load(tmp_path / "c.json") == found
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        given.save(tmp_path / "file" / "c.json")


def changed(content, path, value):
    """The content with another value of the field at `path`, or without it."""
    content = json.loads(json.dumps(content))
    *place, last = path.split(".")
    inside = content
    for name in place:
        inside = inside[int(name)] if isinstance(inside, list) else inside[name]
    if value is KeyError:
        del inside[last]
    else:
        inside[last] = value
    return json.dumps(content)


DAMAGED = {
    "format": ("facemargin calibration 1", "expected one of facemargin certificate 1"),
    "date": (3, "date is 3, expected a text"),
    "model.fingerprint": (["x"], "model.fingerprint is"),
    "model.views": ("none", "model.views is 'none', expected one of one, flip, multi"),
    "model.more": (1, "model.more is not a field of this file"),
    "faces.people": (-1, "faces.people is -1, expected a whole number of at least 0"),
    "faces.images": (True, "faces.images is True"),
    "faces.detector": ("toy", "faces.settings is None, expected settings of a detector"),
    "faces.settings": ({"a": [1]}, "faces.settings.a is"),
    "faces": ([], "faces is [], expected an object with fields"),
    "design": ("some", "design is 'some', expected one of all-pairs, gallery, list"),
    "confidence": (1.5, "confidence is 1.5, expected a finite number from 0 to 1"),
    "bands": ([], "bands is [], expected a list of objects"),
    "bands.0.lowest_quality": (7.0, "bands have lowest_quality [7.0]"),
    "bands.0.fmr.threshold": (None, "bands[0].fmr.threshold is None, expected a number, or a refusal"),
    "bands.0.fmr.certified": (0.05, "bands[0].fmr.certified is 0.05, expected the target"),
    "bands.0.fmr.target": (0.0, "bands[0].fmr.target is 0.0, expected a number between 0 and 1"),
    "bands.0.fmr.observed": (float("nan"), "it holds NaN"),
    "bands.0.fmr.errors": (KeyError, "bands[0].fmr.errors is missing"),
    "bands.0.fmr.name": ("FNMR", "bands[0].fmr.name is 'FNMR', expected one of FMR"),
    "bands.0.fmr.estimated": ([0.5, 0.1], "bands[0].fmr.estimated is [0.5, 0.1], expected two rates"),
    "bands.0.fnmr.threshold": (2.0, "bands[0].fnmr.threshold is 2.0, expected at most that of the FMR"),
}


@pytest.mark.parametrize("path", DAMAGED)
def test_a_damaged_file_names_its_field(certificates, path, tmp_path):
    value, message = DAMAGED[path]
    (tmp_path / "c.json").write_text(changed(json.loads(certificates["one"].to_json()), path, value))
    with pytest.raises(DataError) as caught:
        Certificate.load(tmp_path / "c.json")
    text = str(caught.value)
    assert f"{tmp_path / 'c.json'} cannot be read as a certificate" in text and message in text
    assert "facemargin certify writes one" in text


def test_other_files_are_refused(tmp_path):
    for content in ("", "[]", "{", "\x00", "[" * 5000, '{"format": 1e999}'):
        (tmp_path / "c.json").write_text(content)
        with pytest.raises(DataError, match="cannot be read as a certificate"):
            Certificate.load(tmp_path / "c.json")
    (tmp_path / "c.json").write_bytes(b"\xff\xfe")
    for missing in (tmp_path / "c.json", tmp_path / "none.json", tmp_path):
        with pytest.raises(DataError, match="cannot be read as a certificate"):
            Certificate.load(missing)


def test_it_is_bound_to_the_model(certificates):
    one = certificates["one"]
    one.require_model(tiny_model())
    with pytest.raises(ConfigError, match="quality by its norm, but this one does by its crfiqa: run facemargin"):
        one.require_model(tiny_model(quality="crfiqa"))
    for stale, given in ((tiny_model(color_order="BGR"), one), (tiny_model(), replace(one, views="one"))):
        with pytest.raises(ConfigError, match="belongs to another model, or to this one before it changed"):
            given.require_model(stale)


class Toy:
    name = "toy"

    def __init__(self, **settings):
        self.settings = settings

    def detect(self, image):
        return []


def test_it_is_bound_to_how_faces_are_found(certificates):
    plain = certificates["one"]
    found = replace(plain, faces=replace(plain.faces, detector="toy", settings={"side": 2, "least": 0.5}))
    plain.require_faces(None)
    found.require_faces(Toy(side=2, least=0.5))
    for certificate, detector, message in (
        (plain, "centerface", "on images as they are, but centerface is to find these faces"),
        (found, None, "on faces that toy found in photographs, but these images are used as they are"),
        (found, "centerface", "on faces that toy found, but centerface is to find these"),
        (found, Toy(side=3, least=0.5), "with the settings side 2, but now it has side 3"),
        (found, type("Toy", (Toy,), {"settings": None, "__init__": lambda _: None})(), "some that it does not say"),
    ):
        with pytest.raises(ConfigError, match=message):
            certificate.require_faces(detector)


def test_the_detector_is_stored(model):
    embeddings, labels = embeddings_of(people=10)
    found = fm.certify(model, faces_of(labels), 0.5, embeddings=embeddings, detector="centerface").faces
    assert (found.detector, found.settings) == ("centerface", dict(create_detector("centerface").settings))
    with pytest.raises(ConfigError, match="does not say with which settings it finds faces"):
        fm.certify(
            model, faces_of(labels), 0.5, embeddings=embeddings, detector=type("Bare", (), {"detect": lambda *_: []})()
        )


def test_the_digest_knows_other_pictures_and_other_people(model):
    embeddings, labels = embeddings_of(people=10)
    digests = set()
    for pixels_seed, given in ((0, labels), (0, labels), (1, labels), (0, np.sort(labels % 7))):
        pixels = np.random.default_rng(pixels_seed).integers(0, 255, (len(labels), 4, 4, 3), np.uint8)
        faces = WithLabels(ArrayImages(pixels, "people"), given, [f"p{n}" for n in range(10)])
        digests.add(fm.certify(model, faces, 0.5, embeddings=embeddings).faces.digest)
    assert len(digests) == 3 and all(len(digest) == 16 for digest in digests)


def test_a_list_says_what_its_people_could_promise(model):
    certificate = fm.certify(model, fm.open_verification("orl:1-8"), fmr=0.5)
    assert certificate.thresholds.design == "list" and (certificate.faces.people, certificate.faces.images) == (8, 80)
    assert certificate.lowest_if_all_compared == pytest.approx(1 - 0.05 ** (1 / 4), abs=1e-9)
    assert certificate.lowest_fmr == pytest.approx(1 - 0.05 ** (1 / 3), abs=1e-9)  # 28 pairs, each person in 7
    pairs = replace(fm.open_verification("orl:1-4"), identities_N=None)
    with pytest.raises(DataError, match="does not say who is in its images, and a promise rests on people"):
        fm.certify(model, pairs, fmr=0.5)
    with pytest.raises(ConfigError, match="is a list of pairs, and bands of quality need everybody compared"):
        fm.certify(model, fm.open_verification("orl:1-4"), fmr=0.5, bands=2)


def test_unusable_faces(model):
    embeddings, labels = embeddings_of(people=10)
    damaged = replace(embeddings, vectors=embeddings.vectors * (np.arange(20) != 3)[:, None])
    with pytest.raises(DataError, match="the vector of people: image 3 is all zeros"):
        fm.certify(model, faces_of(labels), 0.5, embeddings=damaged)
    with pytest.raises(DataError, match="20 embeddings for the 18 images of people, expected one per image"):
        fm.certify(model, faces_of(labels[:18]), 0.5, embeddings=embeddings)
    with pytest.raises(ConfigError, match="the faces are a list, expected images with identities"):
        fm.certify(model, [], 0.5)


def gallery_of(people, seed=0, prefix="p"):
    """Two embeddings each of these people, whose images are drawn with the seed."""
    embeddings, labels = embeddings_of(60, seed)
    wanted = np.isin(labels, people)
    numbers = np.unique(labels[wanted], return_inverse=True)[1]
    pixels = np.random.default_rng(seed + 1).integers(0, 255, (len(numbers), 4, 4, 3), np.uint8)
    faces = WithLabels(ArrayImages(pixels, f"faces {seed}"), numbers, [f"{prefix}{person}" for person in people])
    return replace(
        embeddings, **{name: getattr(embeddings, name)[wanted] for name in ("vectors", "quality", "norms")}
    ), faces


@pytest.fixture(scope="module")
def with_gallery(model):
    """50 probe people, of whom 10 are among the 20 of the gallery."""
    embedded, probes = gallery_of(range(50))
    enrolled, gallery = gallery_of(range(40, 60), seed=1)
    return fm.certify(model, probes, 0.25, fnmr=0.6, embeddings=embedded, gallery=gallery, gallery_embeddings=enrolled)


def test_a_gallery_is_what_the_promise_is_about(with_gallery, tmp_path):
    embedded, probes = gallery_of(range(50))
    enrolled, gallery = gallery_of(range(40, 60), seed=1)
    names = [[faces.identity_names[label] for label in faces.labels] for faces in (probes, gallery)]
    found = with_gallery.thresholds
    assert found == certify_gallery(embedded, names[0], enrolled, names[1], 0.25, fnmr=0.6)
    assert (found.bands[0].fmr.people, found.bands[0].fnmr.people, found.left_out) == (40, 10, 20 * 38)
    about = with_gallery.gallery
    assert (about.name, about.people, about.images, about.probe_people) == ("faces 1", 20, 40, 10)
    assert repr(with_gallery).endswith("100 images of 'faces 0' with the gallery 'faces 1')")
    with_gallery.save(tmp_path / "c.json")
    assert Certificate.load(tmp_path / "c.json") == with_gallery
    content = json.loads((tmp_path / "c.json").read_text())
    for path, value, message in (
        ("gallery", KeyError, "gallery is missing"),
        ("gallery.probe_people", 21, "at most the people of the gallery, 20"),
        ("design", "all-pairs", "gallery is not a field of this file"),
    ):
        (tmp_path / "c.json").write_text(changed(content, path, value))
        with pytest.raises(DataError, match=message):
            Certificate.load(tmp_path / "c.json")


def test_it_holds_for_no_other_gallery_and_no_other_pairs(with_gallery, certificates, model):
    _, gallery = gallery_of(range(40, 60), seed=1)
    with_gallery.require_gallery(gallery)
    for other in (gallery_of(range(40, 60), seed=2)[1], gallery_of(range(40, 59), seed=1)[1]):
        with pytest.raises(ConfigError, match=r"about the gallery faces 1 \(40 images of 20 people\), and faces . \("):
            with_gallery.require_gallery(other)
    with pytest.raises(ConfigError, match="is about people who are compared with each other, and not about a gallery"):
        certificates["one"].require_gallery(gallery)
    certificates["one"].require_any_people()
    image = np.zeros((112, 112, 3), np.uint8)
    with pytest.raises(ConfigError, match=r"about people who are compared with the gallery faces 1 .*certify without"):
        fm.verify(model, image, image, certificate=with_gallery)


def test_an_unusable_gallery(model):
    embedded, probes = gallery_of(range(50))
    enrolled, gallery = gallery_of(range(40, 60), seed=1)
    given = {"embeddings": embedded, "gallery": gallery, "gallery_embeddings": enrolled}
    unnamed = gallery_of(range(40, 60), seed=1)[1]
    unnamed.has_names = False
    for faces, changes, error, message in (
        (probes, {"gallery": unnamed}, DataError, "faces 1 numbers its people instead of naming them"),
        (probes, {"gallery": [1]}, ConfigError, "the gallery of a certificate for a gallery are a list"),
        (probes, {"gallery": None}, ConfigError, "gallery_embeddings are given without a gallery"),
        (fm.open_verification("orl:1-4"), {}, ConfigError, "the faces of a certificate for a gallery are a Verif"),
        (probes, {"gallery_embeddings": embedded}, DataError, "100 embeddings for the 40 images of faces 1"),
        (gallery, {"embeddings": enrolled}, DataError, "40 pictures of the probes are in the gallery, too; the first"),
    ):
        with pytest.raises(error, match=message):
            fm.certify(model, faces, 0.25, **{**given, **changes})
