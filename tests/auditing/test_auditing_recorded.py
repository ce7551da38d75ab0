from collections import Counter

import numpy as np
import pytest

import facemargin as fm
from facemargin.auditing.recorded import audit_recording
from facemargin.auditing.visited import skill, visited
from facemargin.recording.columns import NO_CLASS
from tests.auditing.made_people import labeled, people

PEOPLE, EACH, EPOCHS = 12, 10, 8
SWAPPED = {3: 5, 47: 9, 88: 0}
POOR = (20, 61)


@pytest.fixture(scope="module")
def recorded():
    """A recording in which 3 images are nearer to the centre of the person that they show, 2 are near to nobody, and
    the labels 10 and 11 are one person."""
    pictures, labels = people(PEOPLE, EACH)
    generator, number = np.random.default_rng(0), PEOPLE * EACH
    columns = {name: [] for name in ("sample", "step", "feature_norm", "target_cosine", "hardest_negative")}
    classes = []
    for epoch in range(EPOCHS):
        for place, sample in enumerate(generator.permutation(number).tolist()):
            label, target, negative, norm = labels[sample], 0.7, 0.3, 20.0
            other = int((label + 1 + generator.integers(PEOPLE - 1)) % PEOPLE)
            if sample in SWAPPED:
                target, negative, other = 0.25, 0.65, SWAPPED[sample]
            elif sample in POOR:
                target, negative, norm = 0.15, 0.1, 6.0
            elif label >= 10:
                target, negative, other = 0.68, 0.6, 21 - label
            values = np.array([target, negative]) * min(1, (epoch + 3) / 6) + generator.normal(0, 0.03, 2)
            row = (sample, epoch * number + place + 1, norm + generator.normal(), *values)
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
            classes.append(other)
    arrays = {name: np.array(values) for name, values in columns.items()}
    for name in ("feature_norm", "target_cosine", "hardest_negative"):
        arrays[name] = arrays[name].astype(np.float16)
    arrays["hardest_class"] = np.array(classes, np.uint32)
    images = labeled(pictures, labels)
    about = {"hardest_among": "sampled classes", "negatives": "as they are"}
    return fm.Recording(arrays, labels, images.identity_names, about, []), images


def test_means_are_those_that_loops_find(recorded):
    recording, _ = recorded
    columns = {name: values[:500].copy() for name, values in recording.columns.items()}
    columns["hardest_class"][5] = NO_CLASS
    columns["feature_norm"][7] = np.inf
    found = visited(fm.Recording(columns, recording.labels, recording.identity_names, {}, []))
    for sample in range(len(recording.labels)):
        rows = [row for row in range(500) if columns["sample"][row] == sample]
        rows = [row for row in rows[len(rows) // 2 :] if columns["hardest_class"][row] != NO_CLASS]
        assert found.visits_N[sample] == len(rows)
        if not rows:
            continue
        assert found.target_N[sample] == pytest.approx(np.mean([float(columns["target_cosine"][row]) for row in rows]))
        assert found.norm_N[sample] == pytest.approx(
            np.mean([min(float(columns["feature_norm"][row]), 65504) for row in rows])
        )
        times = Counter(int(columns["hardest_class"][row]) for row in rows)
        most = min(times, key=lambda label: (-times[label], label))
        assert (found.class_N[sample], found.stable_N[sample]) == (most, times[most] / len(rows))


def test_all_visits_count_by_how_many_images_were_nearest_to_their_own_centre_then(recorded):
    recording, _ = recorded
    target_V, negative_V = (recording[name].astype(float) for name in ("target_cosine", "hardest_negative"))
    visits = len(recording)
    gaps = [
        [target_V[row] - negative_V[row] for row in range(visits) if row * 20 // visits == part] for part in range(20)
    ]
    skills = [(sum(gap > 0 for gap in of_part) + 1) / (len(of_part) + 2) for of_part in gaps]
    early = 1 + next(part for part in range(20) if skills[part] >= 0.75 * max(skills))
    found = visited(recording)
    for means, parts in ((found.all, 20), (found.early, early)):
        for sample in (0, 3, 20, 100):
            rows = [row for row in range(visits) if recording["sample"][row] == sample and row * 20 // visits < parts]
            weights = [skills[row * 20 // visits] for row in rows]
            gap = target_V[rows] - negative_V[rows]
            if rows:
                assert means.own_N[sample] == pytest.approx(np.average(target_V[rows], weights=weights))
                assert means.other_N[sample] == pytest.approx(np.average(negative_V[rows], weights=weights))
                suspicion = np.average(np.where(gap < 0.1, -gap, -0.1), weights=weights)
                assert means.suspicion_N[sample] == pytest.approx(suspicion)
            else:
                assert np.isnan(means.suspicion_N[sample])


def test_more_suspicious_is_what_is_always_like_the_same_other_person(recorded):
    recording, _ = recorded
    target_V, negative_V = (recording[name].astype(float) for name in ("target_cosine", "hardest_negative"))
    weight_V, found, classes_V = skill(target_V - negative_V), visited(recording), recording["hardest_class"]
    for sample in (0, 3, 20, 100):
        rows = [row for row in range(len(recording)) if recording["sample"][row] == sample]
        nearer = dict.fromkeys(range(PEOPLE), 0.0)
        for row in rows:
            nearer[int(classes_V[row])] += weight_V[row] * max(0.0, negative_V[row] - target_V[row])
        more = 0.6 * max(nearer.values()) / sum(weight_V[row] for row in rows)
        assert found.suspicion_N[sample] == pytest.approx(found.all.suspicion_N[sample] + more)
        assert (more > 0.1) == (sample in SWAPPED)


def test_wrong_labels_that_the_training_learned_by_heart_are_found():
    pictures, labels = people(PEOPLE, EACH)
    generator, number, epochs = np.random.default_rng(1), PEOPLE * EACH, 30
    columns = {name: [] for name in ("sample", "feature_norm", "target_cosine", "hardest_negative", "hardest_class")}
    for epoch in range(epochs):
        learned = min(1, (epoch + 1) / 5)
        by_heart = np.clip((epoch - 6) / 6, 0, 1)
        for sample in generator.permutation(number).tolist():
            own, other, nearest = 0.75 * learned, 0.3, (labels[sample] + 1 + generator.integers(PEOPLE - 1)) % PEOPLE
            if sample in SWAPPED:
                own, other, nearest = 0.1 + 0.6 * by_heart, max(0.7 * learned - 0.4 * by_heart, 0.3), SWAPPED[sample]
            row = (sample, 20.0, *(np.array([own, other]) + generator.normal(0, 0.08, 2)), nearest)
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
    arrays = {name: np.array(values) for name, values in columns.items()}
    arrays["hardest_class"] = arrays["hardest_class"].astype(np.uint32)
    images = labeled(pictures, labels)
    recording = fm.Recording(arrays, labels, images.identity_names, {}, [])
    later = visited(recording)
    assert all(later.target_N[sample] > later.negative_N[sample] + 0.3 for sample in SWAPPED)  # nothing to see there
    wrong = [one for one in audit_recording(recording, images).findings if one.kind == "mislabelled"]
    wrong.sort(key=lambda one: -one.score)
    assert {one.path for one in wrong[:3]} == {images.describe(sample) for sample in SWAPPED}
    assert len(wrong) < 10


def test_a_recording_tells_of_wrong_labels_split_people_and_poor_images(recorded):
    recording, images = recorded
    found = audit_recording(recording, images)
    of = {kind: [finding for finding in found.findings if finding.kind == kind] for kind in found.kinds}
    assert {(one.path, one.suggested) for one in of["mislabelled"][:3]} == {
        (images.describe(sample), f"p{label}") for sample, label in SWAPPED.items()
    }
    assert [(one.label, one.suggested) for one in of["split"]] == [("p10", "p11")]
    poor = sorted(of["unrecognisable"], key=lambda one: -one.score)
    assert {one.path for one in poor[:2]} == {images.describe(sample) for sample in POOR}
    assert list(of) == ["mislabelled", "split", "unrecognisable"]
    assert any("sampled classes" in sentence for sentence in found.left_out)


def test_other_images_than_the_recorded_are_refused(recorded):
    recording, images = recorded
    other = labeled([images.read(index) for index in range(len(images))], np.roll(images.labels, 1))
    with pytest.raises(fm.DataError, match="is not the set that was recorded: it has 120 images of 12 people"):
        audit_recording(recording, other)


def test_a_run_is_audited_with_its_pictures_and_says_what_needs_a_model(tmp_path):
    from rich.console import Console

    recipe = fm.load_recipe("small_cpu", epochs=2, batch_size=10, data={"train": "orl:1-3"}, recorder=True)
    fm.train(recipe, tmp_path / "run", console=Console(quiet=True))
    audit = fm.audit(tmp_path / "run")
    assert audit.source == "recording" and audit.model is None and audit.recording["num_samples"] == 30
    for kind in ("merged", "no_face"):
        assert audit.kinds[kind].threshold is None and "--model MODEL adds it" in audit.kinds[kind].how
    assert audit.kinds["duplicate"].threshold is not None
    audit.save(tmp_path / "audit")
    assert fm.load_audit(tmp_path / "audit") == audit
