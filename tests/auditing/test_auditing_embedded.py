import json

import cv2
import numpy as np
import pytest
import torch

import facemargin as fm
from facemargin.auditing.alignment_doubt import alignment_doubt
from facemargin.auditing.copies import near_hashes
from facemargin.auditing.discriminant import discriminated
from facemargin.auditing.labels import fits, suspicion
from facemargin.auditing.plane import embedded_plane
from facemargin.auditing.planted import posterior
from facemargin.auditing.registration import correlation, small_gray
from facemargin.auditing.seen import decide_kinds, detail, shows_face
from facemargin.auditing.space import LabeledSpace, whitenings
from facemargin.auditing.unusable import Measured, Unusable, unusable
from facemargin.data.alignment import TEMPLATE_52
from facemargin.data.overlap import difference_hash
from facemargin.data.source import ArrayImages, WithLabels
from facemargin.errors import DataError
from facemargin.features.store_files import FeatureFiles
from tests.auditing.made_people import labeled, network, people, picture, write


def space_of(labels, size=6, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.array(labels)
    vectors = generator.normal(size=(labels.max() + 1, size))[labels] + 0.7 * generator.normal(size=(len(labels), size))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    norms = generator.uniform(5, 20, len(labels)).astype(np.float32)
    classes = labels.max() + 1
    return LabeledSpace(vectors.astype(np.float32), norms, labels, classes, torch.device("cpu"))


def test_fits_are_what_loops_find():
    space = space_of([0] * 5 + [1] * 4 + [2] * 3 + [3])
    vectors, weights, labels = space.vectors_ND.astype(np.float64), space.weights_N.astype(np.float64), space.labels_N
    found = fits(space)
    for image in range(len(labels)):
        fit = {}
        for label in range(4):
            members = [other for other in range(len(labels)) if labels[other] == label and other != image]
            if not members:
                continue
            center = sum(weights[other] * vectors[other] for other in members)
            cosines = sorted((float(vectors[image] @ vectors[other]) for other in members), reverse=True)[:3]
            fit[label] = vectors[image] @ center / np.linalg.norm(center) + sum(cosines) / len(cosines)
        own = fit.pop(int(labels[image]), None)
        assert np.isnan(found.own_N[image]) if own is None else found.own_N[image] == pytest.approx(own, abs=1e-5)
        first, second = sorted(fit, key=lambda label: -fit[label])[:2]
        assert found.other_class_N[image] == first
        assert (found.other_N[image], found.next_N[image]) == pytest.approx((fit[first], fit[second]), abs=1e-5)
        likest = max(np.flatnonzero(labels == first), key=lambda other: vectors[image] @ vectors[other])
        assert found.other_image_N[image] == likest
        assert np.isnan(found.any_N[image]) or min(abs(found.any_N[image] - value) for value in fit.values()) < 1e-5
    weighed = suspicion(found.own_N, found.other_N, space.weights_N)
    assert weighed[0] == pytest.approx(np.sqrt(weights[0]) * (found.other_N[0] - found.own_N[0]), abs=1e-6)


def test_one_person_s_labels_are_not_each_other_s_best():
    space = space_of([0] * 4 + [1] * 4 + [2] * 4)
    assert (fits(space).other_class_N[:4] == 1).any()
    found = fits(space, np.array([[1, 0]]))
    assert (found.other_class_N[:4] == 2).all() and (found.other_class_N[4:8] == 2).all()


def test_a_posterior_is_calibrated_and_keeps_the_order():
    generator = np.random.default_rng(0)
    wrong = generator.random(20_000) < 0.1
    values = generator.normal(size=20_000) + 2.5 * wrong
    found = posterior(values, generator.normal(size=5_000) + 2.5)
    assert found.share == pytest.approx(0.1, abs=0.03)
    assert (np.diff(found.probability_N[np.argsort(values)]) > 0).all()
    for low, high in ((0.05, 0.3), (0.3, 0.7), (0.7, 1)):
        within = (found.probability_N >= low) & (found.probability_N < high)
        assert found.probability_N[within].mean() == pytest.approx(wrong[within].mean(), abs=0.08)
    clean = posterior(generator.normal(size=20_000), generator.normal(size=5_000) + 6)
    assert clean.probability_N.max() < 0.5 and clean.share < 0.001


def test_copies_fit_when_laid_over_each_other():
    faces = fm.open_images("orl:1-6")
    pictures = [cv2.resize(faces.read(10 * person), (112, 112)) for person in range(6)]
    for image in pictures:
        cut = cv2.resize(image[6:106, 4:104], (112, 112))
        for copied, mirrored in ((image // 2 + 40, False), (np.ascontiguousarray(image[:, ::-1]), True), (cut, False)):
            value, is_mirrored = correlation(small_gray(image), small_gray(copied))
            assert value > 0.98 and is_mirrored == mirrored
    assert max(correlation(small_gray(pictures[0]), small_gray(other))[0] for other in pictures[1:]) < 0.95


def test_errors_that_are_plainer_than_planted_ones_are_the_surest():
    """As in a small set, where exact copies are most of the pairs that are alike."""
    planted = np.random.default_rng(0).normal([2, 6], 0.5, (30, 2))
    few = discriminated(np.array([[9.0, 9.2], [2.7, 9.1], [1.3, 3.2]]), planted).probability_N
    assert few[0] >= few[1] > 0.9 and few[2] < few[1]
    others = np.random.default_rng(1).normal([0, 2], 0.5, (100, 2))
    several = discriminated(np.concatenate([[[9.0, 9.2], [2.7, 9.1]], others]), planted).probability_N
    assert several[:2].min() > 0.9 and several[2:].max() < 0.05


def test_near_hashes_are_those_that_loops_find():
    images = [picture(person, 0) for person in range(12)]
    images += [np.ascontiguousarray(images[3][:, ::-1]), np.clip(images[5] * 0.9, 0, 255).astype(np.uint8)]
    bits = np.array([difference_hash(image) > 0 for image in images])
    expected = {(3, 12), (5, 13)}
    assert {tuple(pair) for pair in near_hashes(np.packbits(bits, axis=1)).tolist()} == expected


def faces_of(quality, cosine, spread=0.1):
    generator = np.random.default_rng(len(quality))
    own = (cosine + spread * generator.normal(size=len(quality))).astype(np.float32)
    return Measured(np.asarray(quality, np.float32), own, np.fmax(own, 0.25).astype(np.float32))


def joined(*several):
    parts = ("quality", "own", "nearest")
    return Measured(*(np.concatenate([getattr(one, part) for one in several]) for part in parts))


@pytest.mark.parametrize("tells", [True, False])
def test_a_good_picture_that_fits_nobody_is_not_unrecognisable(tells):
    """Its label is wrong. Where quality does not tell poor pictures from good ones, nobody knows."""
    generator = np.random.default_rng(0)
    poor = 7.5 if tells else 12
    real = joined(
        faces_of(12 + 1.5 * generator.normal(size=2000), 0.7),
        faces_of(np.full(5, 11.0), -0.1, 0.01),
        faces_of(np.full(20, poor - 1), 0.0, 0.01),
    )
    planted = faces_of(poor + 1.2 * generator.normal(size=200), 0.0)
    found = unusable(real, planted, planted)
    for probability in (found.unrecognisable_N, found.no_face_N):
        assert (probability[2005:] > 0.5).all()
        assert (probability[2000:2005] < 0.1).all() if tells else (probability[2000:2005] > 0.5).all()


def test_noise_is_rather_no_face_than_unrecognisable():
    generator = np.random.default_rng(0)
    tiny, noise = (faces_of(quality + generator.normal(size=200), 0.0) for quality in (7.5, 4))
    real = joined(faces_of(12 + generator.normal(size=1000), 0.7), faces_of([7.5] * 9, 0.0), faces_of([4] * 9, 0.0))
    found = unusable(real, tiny, noise)
    blurred = [cv2.GaussianBlur(picture(person, 0), (0, 0), 5) for person in range(40)]
    images, tiny = ArrayImages([*blurred] * 26, "made"), ArrayImages(blurred[20:], "tiny")
    decided, sharp = decide_kinds(found, images, tiny, None)
    assert not any(decided[image].is_none for image in range(1000, 1009)) and not sharp
    assert all(decided[image].is_none for image in range(1009, 1018))
    assert (found.either()[1000:] > 0.5).all() and np.median(found.either()) < 0.01


def test_sharp_candidates_are_faces_or_none():
    """As the detector says; without one they are faces. Those that are blurred are unrecognisable."""
    sharp, blurred = picture(0, 0, 60), cv2.GaussianBlur(picture(0, 0), (0, 0), 5)
    assert detail(sharp) > 3 * detail(blurred) and np.isnan(detail(np.full_like(sharp, 9)))
    blurs = [cv2.GaussianBlur(picture(person, 0), (0, 0), 5) for person in range(60)]
    images = ArrayImages([sharp] * 30 + blurs[:30], "made")
    found = Unusable(np.full(60, 0.9), np.full(60, 0.1), np.zeros(60, bool), True)

    class Sees:
        def __init__(self, faces):
            self.faces = faces

        def detect(self, image):
            return [True] * self.faces

    for detector, listed in ((None, 30), (Sees(1), 30), (Sees(0), 60)):
        decided, faces = decide_kinds(found, images, ArrayImages(blurs[30:], "tiny"), detector)
        assert len(decided) == listed and faces == 60 - listed
        assert all(decided[image].score > 0.5 and not decided[image].is_none for image in range(30, 60))
        assert all(decided[image].is_none and decided[image].score > 0.8 for image in decided if image < 30)


class Upright:
    """A detector of pictures whose upper half is the darker one."""

    name = "upright"

    def detect(self, image):
        half = len(image) // 2
        return [True] if image[:half].mean() < image[half:].mean() - 20 else []


def test_a_face_is_looked_for_in_every_turn():
    image = np.zeros((64, 64, 3), np.uint8)
    assert not shows_face(Upright(), image)
    image[32:] = 200
    assert all(shows_face(Upright(), np.ascontiguousarray(np.rot90(image, turns))) for turns in range(4))


class Finds:
    """A detector of a face in every picture, `shift` pixels beside its place."""

    name = "finds"

    def __init__(self, shift=0):
        self.shift = shift

    def detect(self, image):
        landmarks_52 = 2 * (TEMPLATE_52 + 0.5 + [self.shift, 0]) - 0.5 + 56
        return [fm.Face((0, 0, 1, 1), 1.0, landmarks_52)] if image.mean() > 1 else []


@pytest.mark.parametrize(("shift", "doubted"), [(3, False), (20, True)])
def test_faces_that_are_not_aligned_are_doubted(shift, doubted, caplog):
    images = labeled(*people(2, 3))
    assert ("6 images looked at, 6 do not have eyes" in alignment_doubt(images, Finds(shift))) == doubted
    assert ("facemargin align" in caplog.text) == doubted
    black = ArrayImages([np.zeros((8, 8, 3), np.uint8)] * 3, "black")
    assert "3 (3 without a face that finds finds)" in alignment_doubt(black, Finds())
    assert "no detector is installed" in alignment_doubt(images, None)


@pytest.fixture(scope="module")
def audited():
    """12 images with other labels, a label cut in two, two labels put together, copies, tiny faces."""
    pictures, who = people(40, 12)
    labels, generator = who.copy(), np.random.default_rng(1)
    labels[who == 39] = 38
    cut = np.flatnonzero(who == 0)[::2]
    labels[cut] = 39
    wrong = generator.choice(np.flatnonzero((who > 2) & (who < 37)), 12, replace=False)
    labels[wrong] = (labels[wrong] + generator.integers(3, 30, 12)) % 36 + 1
    labels[wrong] = np.where(labels[wrong] == who[wrong], (labels[wrong] + 1) % 36, labels[wrong])
    copied = [
        int(np.flatnonzero((who == 20) & (labels == 20))[0]),
        int(np.flatnonzero((who == 21) & (labels == 21))[0]),
    ]
    pictures = [*pictures, np.ascontiguousarray(pictures[copied[0]][:, ::-1]), pictures[copied[1]]]
    labels = np.append(labels, [20, 5])
    images = labeled(pictures, labels)
    return fm.audit(model=network(), data=images), images, who, wrong, copied


def test_wrong_labels_are_found_and_the_right_person_is_suggested(audited):
    audit, images, who, wrong, _ = audited
    findings = [finding for finding in audit if finding.kind == "mislabelled"]
    paths = [images.describe(int(index)) for index in wrong]
    found = {finding.path: finding for finding in findings if finding.path in paths and finding.score >= 0.5}
    assert len(found) >= 11 and all(path in {finding.path for finding in findings} for path in paths)
    right = [
        found[path].suggested == f"p{who[index]}" for path, index in zip(paths, wrong, strict=True) if path in found
    ]
    assert np.mean(right) > 0.9
    assert {finding.path for finding in findings[:10]} <= {*paths, images.describe(481)}


def test_split_and_merged_people_are_found(audited):
    audit, *_ = audited
    first = {kind: next(finding for finding in audit if finding.kind == kind) for kind in ("split", "merged")}
    assert {first["split"].label, first["split"].suggested} == {"p0", "p39"}
    assert first["merged"].label == "p38" and len(audit.groups["p38"]) == 12


def test_copies_are_found_within_and_across_labels(audited):
    audit, images, _, _, copied = audited
    found = {finding.path: finding for finding in audit if finding.kind == "duplicate" and finding.score >= 0.5}
    pairs = {frozenset((finding.path, finding.other_path)) for finding in found.values()}
    for copy, original in zip((480, 481), copied, strict=True):
        assert frozenset((images.describe(copy), images.describe(original))) in pairs
    across = found[images.describe(481)]
    assert (across.label, across.suggested, across.other_path) == ("p5", "p21", images.describe(copied[1]))


def test_what_was_done_is_said(audited, tmp_path):
    audit, images, *_ = audited
    assert all(looked.threshold is not None and len(looked.how) > 40 for looked in audit.kinds.values())
    assert "no detector looked" in audit.kinds["no_face"].how
    assert audit.model["name"] == "wrapped Projection" and len(audit.model["fingerprint"]) == 48
    audit.save(tmp_path)
    assert fm.load_audit(tmp_path) == audit
    audit.require_same_data(images)


def test_what_cannot_be_audited_is_refused():
    images = labeled(*people(1, 4))
    with pytest.raises(fm.DataError, match="readable images of 1 label, expected 2 or more"):
        fm.audit(model=network(), data=images)
    for given in ({}, {"model": network()}, {"data": images}):
        with pytest.raises(fm.ConfigError, match="audit needs a run with a recording, or a model and data"):
            fm.audit(**given)


@pytest.mark.parametrize("each", [[1, 1], [1, 3], [2, 2], [1] * 5])
def test_a_small_set_is_audited(each):
    labels = np.repeat(np.arange(len(each)), each)
    audit = fm.audit(model=network(), data=labeled([picture(int(one), n) for n, one in enumerate(labels)], labels))
    alone = sum(number == 1 for number in each)
    if alone:
        words = "the only one of its label, was" if alone == 1 else "the only ones of their label, were"
        assert any(words in sentence for sentence in audit.left_out)
    assert all(0 <= finding.score <= 1 for finding in audit)


def test_an_image_without_a_vector_is_not_judged_and_named():
    pictures, who = people(6, 5)
    black = np.zeros_like(pictures[0])
    audit = fm.audit(model=network(), data=labeled([*pictures[:-1], black], who))
    assert [one for one in audit.left_out if "zeros" in one] == ["no vector: the model gives made: image 29 zeros"]
    assert not any(finding.path == "made: image 29" for finding in audit)
    with pytest.raises(fm.DataError, match="the model gives every image a vector of zeros"):
        fm.audit(model=network(), data=labeled([black] * 30, who))


def test_a_set_of_one_picture_is_audited():
    pictures, who = people(6, 6)
    audit = fm.audit(model=network(), data=labeled([pictures[0]] * 36, who))
    assert audit.counts()["duplicate"] > 0
    assert all(0 <= finding.score <= 1 for finding in audit) and audit.counts()["merged"] == 0


def test_the_command_writes_findings_and_goes_on_where_it_was(tmp_path, capsys, monkeypatch):
    from facemargin.cli import main

    # A real one would look eight times at every one of these pictures, which it takes for none.
    monkeypatch.setattr("facemargin.commands.audit._detector", lambda arguments: Finds())
    pictures, who = people(12, 6)
    labels = who.copy()
    labels[[7, 20, 40]] = [4, 9, 11]
    faces = write(tmp_path / "faces", labeled(pictures, labels))
    (faces / "p0" / "broken.png").write_bytes(b"\x89PNG garbage")
    own = tmp_path / "own.py"
    own.write_text("from tests.auditing.made_people import network\n")
    arguments = ["audit", "--model", f"{own}:network", "--data", str(faces), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--rows", "1"]) == 0
    captured = capsys.readouterr()
    assert "in 73 images of 12 people" in captured.out and "left out: unreadable: " in captured.err
    audit = fm.load_audit(tmp_path / "out")
    surest = [finding for finding in audit if finding.kind == "mislabelled"][:3]
    assert {(one.label, one.suggested) for one in surest} == {("p4", "p1"), ("p9", "p3"), ("p11", "p6")}
    assert str(faces / "p4" / "0007.png") in {one.path for one in surest}
    assert audit.model["name"] == f"{own}:network"
    manifest = json.loads((tmp_path / "out" / "embeddings" / "manifest.json").read_text())
    assert manifest["done"] == 73
    assert main(arguments) == 0
    assert "findings.csv exists already and is replaced" in capsys.readouterr().err
    assert fm.load_audit(tmp_path / "out").findings == audit.findings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "orl:1"], "give RUN, the folder of a run with a recording, or --model MODEL with --data FACES"),
        (["run", "--views", "one"], "--views is for embedding: add --model, or remove --views"),
        (["run", "--detector", "yunet"], "--detector is for embedding: add --model"),
        (["run", "--root", "x"], "--root is for an image list: add --data"),
        (["run", "--rows", "-1"], "--rows is -1, expected 0 or more"),
        (["run"], "run has no recipe.yaml, so it is no run folder"),
    ],
)
def test_options_that_do_not_fit_are_refused(arguments, message, capsys):
    from facemargin.cli import main

    assert main(["audit", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_plane_of_stored_embeddings(tmp_path):
    """By loops, with an image that cannot be read and a person of one image."""
    features = np.random.default_rng(3).normal(size=(9, 5)).astype(np.float32)
    norms = np.linalg.norm(features, axis=1)
    labels = np.array([0, 0, 0, 1, 1, 2, 1, 0, 1])
    with FeatureFiles(tmp_path / "e", "key", 9, 5) as files:
        files.write(range(9), features, norms, norms, {3: "broken"})
        files.save()
    images = WithLabels(ArrayImages(np.zeros((9, 4, 4, 3), np.uint8), "a"), labels, ["Ann", "Bob", "Eve"])
    found = embedded_plane(tmp_path / "e", images)
    vectors = features.astype(np.float64) / norms[:, None]
    used = [row for row in range(9) if row != 3]
    for row in range(9):
        if row not in used:
            assert all(np.isnan(values[row]) for values in found)
            continue
        means = [
            sum((vectors[one] for one in used if labels[one] == label and one != row), np.zeros(5))
            for label in range(3)
        ]
        cosines = [mean @ vectors[row] / np.linalg.norm(mean) if mean.any() else np.nan for mean in means]
        own = cosines.pop(labels[row])
        assert found.norm_N[row] == norms[row] and np.isnan(found.gap_N[row]) == (row == 5)
        np.testing.assert_allclose(found.cosine_N[row], own, atol=1e-6)
        np.testing.assert_allclose(found.gap_N[row], own - max(cosines), atol=1e-6)
    with pytest.raises(DataError, match="of 9 of 9 images, expected those of 3"):
        embedded_plane(tmp_path / "e", fm.data.source.labeled_subset(images, np.arange(3)))
    with pytest.raises(DataError, match="damaged or missing"):
        embedded_plane(tmp_path / "none", images)


def test_labels_are_whitened_by_the_others():
    """Of each fold as by a set of the other labels alone, and of one fold as by all."""
    vectors = np.random.default_rng(5).normal(size=(60, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels, fold_C = np.repeat(np.arange(6), 10), np.array([0, 1, 2, 0, 1, 2])
    for fold, found in enumerate(whitenings(vectors, labels, fold_C, 3)):
        others = fold_C[labels] != fold
        (expected,) = whitenings(vectors[others], labels[others], np.zeros(6, np.int64), 1)
        np.testing.assert_allclose(found.transformed(vectors), expected.transformed(vectors), atol=1e-5)
        space = LabeledSpace(vectors[others], np.ones(40, np.float32), labels[others], 6, torch.device("cpu"))
        np.testing.assert_array_equal(expected.transformed(vectors[others]), space.vectors_ND)
    scatter = np.zeros((6, 6))
    for row in range(60):
        rest = [one for one in range(60) if labels[one] == labels[row] and one != row]
        residual = vectors[row].astype(np.float64) - vectors[rest].astype(np.float64).mean(0)
        scatter += np.outer(residual, residual) / 60
    values, directions = np.linalg.eigh(scatter)
    share = 6 / (6 + 60 / 4)
    assert share < 0.3
    matrix = directions / np.sqrt(0.7 * values + 0.3 * values.mean())
    moved = (vectors - vectors.astype(np.float64).mean(0)) @ matrix
    (whole,) = whitenings(vectors, labels, np.zeros(6, np.int64), 1)
    cosines = (moved / np.linalg.norm(moved, axis=1, keepdims=True)) @ (moved[0] / np.linalg.norm(moved[0]))
    found = whole.transformed(vectors)
    np.testing.assert_allclose(found @ found[0], cosines, atol=1e-5)
