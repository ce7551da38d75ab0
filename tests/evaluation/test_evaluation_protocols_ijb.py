import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from facemargin.errors import DataError
from facemargin.evaluation.metrics import templates as templates_module
from facemargin.evaluation.protocols import ijb_files
from facemargin.evaluation.protocols.figures import protocol_figures
from facemargin.evaluation.protocols.ijb_files import template_rows
from facemargin.evaluation.protocols.known import load_protocol
from facemargin.evaluation.protocols.score_protocol import score_protocol
from tests.protocol_folders import IJB

PRESETS = {"insightface": (True, False), "adaface": (False, False), "magface": (False, True)}


def random_features(folder, seed=0, size=6):
    """Of people that can mostly be told apart."""
    rng = np.random.default_rng(seed)
    centers = {person: rng.normal(size=size) for person in set(folder.subjects.values())}
    return np.array([2 * centers[image[3]] + rng.normal(size=size) for image in folder.images]).astype(np.float32)


def pooled_by_loops(folder, features, preset, readable):
    """{template: unit vector} as the published scripts make it, image by image."""
    weighted, normalized = PRESETS[preset]
    vectors = {}
    for template in folder.subjects:
        media = {}
        for row, (_, of_template, of_media, _, score) in enumerate(folder.images):
            if of_template == template and readable[row]:
                media.setdefault(of_media, []).append(features[row].astype(np.float64) * (score if weighted else 1))
        if media:
            means = [np.mean(rows, axis=0) for rows in media.values()]
            total = sum(mean / np.linalg.norm(mean) if normalized else mean for mean in means)
            vectors[template] = total / np.linalg.norm(total)
    return vectors


def pair_score(vectors, a, b):
    return vectors[a] @ vectors[b] if a in vectors and b in vectors else -2.0


def tar_by_loops(genuine, impostors, far, nearest):
    """(TAR, impostors accepted): the best threshold that keeps FAR ≤ target, or of the points that scikit-learn leaves
    the nearest FAR and its largest TAR."""
    points = [(0.0, 0, 0)]
    for threshold in sorted({*genuine, *impostors}, reverse=True):
        accepted = sum(score >= threshold for score in impostors)
        points.append((sum(score >= threshold for score in genuine) / len(genuine), accepted, len(points)))
    if nearest:
        steps = [(round(b[0] * len(genuine)) - round(a[0] * len(genuine)), b[1] - a[1]) for a, b in pairwise(points)]
        bends = [here != after for here, after in pairwise(steps)]
        points = [
            points[0],
            points[1],
            *(p for p, bend in zip(points[2:-1], bends[1:], strict=True) if bend),
            points[-1],
        ]
        distance = min(abs(accepted / len(impostors) - far) for _, accepted, _ in points)
        points = [p for p in points if abs(p[1] / len(impostors) - far) <= distance + 1e-15]
    else:
        points = [p for p in points if p[1] / len(impostors) <= far]
    return max((tar, accepted) for tar, accepted, _ in points)


@pytest.mark.parametrize("name", ["ijbb", "ijbc"])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("rule", ["standard", "published"])
def test_figures_are_those_of_loops_over_the_lists(tmp_path, monkeypatch, name, preset, rule):
    monkeypatch.setattr(templates_module, "IMAGES_A_BLOCK", 7)
    folder = IJB(tmp_path, name, pictures=False)
    features = random_features(folder)
    readable = np.ones(len(features), dtype=bool)
    protocol = load_protocol(name, tmp_path, rule)
    result = score_protocol(protocol, features, readable, "mine", preset, "flip", rule)
    assert (result.images, result.templates, result.unreadable, result.failed) == (len(features), 24, 0, 0)
    vectors = pooled_by_loops(folder, features, preset, readable)

    scores = [(pair_score(vectors, a, b), label) for a, b, label in folder.pairs]
    genuine, impostors = ([score for score, label in scores if label == kind] for kind in (1, 0))
    (verification,) = result.verification
    assert (verification.genuine, verification.impostors) == (len(genuine), len(impostors))
    for point in verification.tar_at_far.points:
        expected = tar_by_loops(genuine, impostors, point.target_far, rule == "published")
        assert (point.tar, point.impostors_accepted) == (pytest.approx(expected[0]), expected[1])
    assert verification.auc == pytest.approx(np.mean([g > i for g in genuine for i in impostors]))

    galleries = folder.gallery_of if rule == "standard" else [folder.gallery_of[0] | folder.gallery_of[1]]
    assert [one.name for one in result.searches] == [
        f"1:N {one}" for one in (folder.galleries if rule == "standard" else [" + ".join(folder.galleries)])
    ]
    for search, gallery in zip(result.searches, galleries, strict=True):
        check_search(search, vectors, folder.probes, gallery, rule)


def check_search(search, vectors, probes, gallery, rule):
    rows, nonmates = [], []
    for probe, person in probes.items():
        scored = {template: pair_score(vectors, probe, template) for template in gallery}
        mates = [score for template, score in scored.items() if gallery[template] == person]
        others = [score for template, score in scored.items() if gallery[template] != person]
        nonmates += others
        mate = max(mates, default=None)
        rows.append((mate, None if mate is None else 1 + sum(score >= mate for score in others), max(others)))
    mated = [row for row in rows if row[0] is not None]
    found = search.identification
    assert (found.mated_probes, found.nonmated_probes) == (len(mated), len(rows) - len(mated))
    for rank, rate in found.rank_rates.items():
        assert rate == pytest.approx(np.mean([row[1] <= rank for row in mated]))
    for fpir, tpir in found.tpir_at_fpir.items():
        if rule == "published":
            threshold = sorted(nonmates, reverse=True)[math.ceil(len(rows) * fpir) - 1]
            assert tpir == pytest.approx(np.mean([row[0] > threshold for row in rows]))
        else:
            alarms = sorted((row[2] for row in rows if row[0] is None), reverse=True)
            threshold = alarms[int(fpir * len(alarms))]
            assert tpir == pytest.approx(np.mean([row[0] > threshold and row[1] == 1 for row in mated]))


def test_figures_are_named_and_galleries_averaged(tmp_path):
    folder = IJB(tmp_path, pictures=False)
    features = random_features(folder)
    protocol = load_protocol("ijbc", tmp_path, "standard")
    result = score_protocol(protocol, features, np.ones(len(features), dtype=bool), "mine")
    figures = {figure.name: figure for figure in protocol_figures(result)}
    assert list(figures)[:2] == ["TAR at FAR 1e-6", "TAR at FAR 1e-5"]
    assert figures["TAR at FAR 0.1"].behind == "11 of 112 impostors, 16 genuine"
    for name in ("rank 1", "rank 10", "TPIR at FPIR 0.01"):
        parts = [figures[f"1:N {gallery} {name}"].value for gallery in ("G1", "G2")]
        assert figures[f"1:N mean {name}"].value == pytest.approx(np.mean(parts))
        assert figures[f"1:N mean {name}"].behind.startswith("mean of the rates of ")
    assert figures["1:N G1 rank 1"].behind == "8 mated probes in a gallery of 4"
    assert figures["1:N G1 TPIR at FPIR 0.1"].behind == "8 mated probes, 8 strangers"


def test_an_unreadable_image_is_left_out_and_a_template_without_any_matches_nobody(tmp_path):
    folder = IJB(tmp_path, pictures=False)
    features = random_features(folder)
    lone = 11
    readable = np.array([template != lone and name != "3.png" for name, template, *_ in folder.images])
    features[~readable] = 0
    protocol = load_protocol("ijbc", tmp_path, "standard")
    result = score_protocol(protocol, features, readable, "mine", "insightface")
    vectors = pooled_by_loops(folder, features, "insightface", readable)
    assert lone not in vectors and result.failed == 24 - len(vectors) and result.unreadable == (~readable).sum()
    scores = [(pair_score(vectors, a, b), label) for a, b, label in folder.pairs]
    genuine, impostors = ([score for score, label in scores if label == kind] for kind in (1, 0))
    for point in result.verification[0].tar_at_far.points:
        expected = tar_by_loops(genuine, impostors, point.target_far, nearest=False)
        assert (point.tar, point.impostors_accepted) == (pytest.approx(expected[0]), expected[1])
    for search, gallery in zip(result.searches, folder.gallery_of, strict=True):
        check_search(search, vectors, folder.probes, gallery, "standard")


def test_without_lists_of_1_to_n_only_1_to_1_is_scored(tmp_path):
    folder = IJB(tmp_path, pictures=False)
    for path in folder.meta.glob("*1N*"):
        path.unlink()
    protocol = load_protocol("ijbc", tmp_path)
    assert len(protocol.experiments) == 1 and "only 1:1 is scored" in protocol.notes[0]
    folder.write("1N_probe_mixed.csv", ["TEMPLATE_ID,SUBJECT_ID", "10,1"])
    with pytest.raises(DataError, match=r"ijbc_1N_gallery_G1.csv cannot be read: No such file"):
        load_protocol("ijbc", tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("face_tid_mid.txt", lambda lines: [*lines[:2], "a.jpg 1"], r"line 3: 'a.jpg 1', expected `image t"),
        ("face_tid_mid.txt", lambda lines: ["a.jpg one 2"], r"line 1: 'a.jpg one 2', expected `image template media`"),
        ("face_tid_mid.txt", lambda lines: ["a.jpg 1 " + "9" * 5000], r"line 1: 'a.jpg 1 9+', expected `image"),
        ("face_tid_mid.txt", lambda lines: [], r"tid_mid.txt is empty"),
        ("face_tid_mid.txt", None, r"tid_mid.txt cannot be read: No such file"),
        ("name_5pts_score.txt", lambda lines: lines[:-1], r"ends after \d+ images, but the list of templates has \d+"),
        ("name_5pts_score.txt", lambda lines: [*lines, "x.png" + " 1" * 11], r"'x.png', expected the end of the file"),
        ("name_5pts_score.txt", lambda lines: [lines[1], *lines[1:]], r"line 1: image '2.png', expected image '1.png'"),
        ("name_5pts_score.txt", lambda lines: ["1.png 5", *lines[1:]], r"line 1: '1.png 5', expected `image x1 y1"),
        ("name_5pts_score.txt", lambda lines: ["1.png" + " x" * 11, *lines[1:]], r"line 1: .* expected `image x1 y1"),
        ("name_5pts_score.txt", lambda lines: ["1.png" + " 1e300" * 11, *lines[1:]], r"line 1: .* expected `image x1"),
        ("name_5pts_score.txt", lambda lines: ["1.png" + " nan" * 11, *lines[1:]], r"line 1: .* expected `image x1 y1"),
        ("template_pair_label.txt", lambda lines: [*lines, "10 11"], r"line 129: '10 11', expected 3 numbers"),
        ("template_pair_label.txt", lambda lines: [*lines, "10 11 2"], r"pair 129 has label 2"),
        ("template_pair_label.txt", lambda lines: [*lines, "10 99 1"], r"template 99 \(entry 129\) has no image"),
        ("1N_gallery_G2.csv", lambda lines: [*lines, "x,1"], r"G2.csv line \d+: 'x,1', expected numbers"),
        ("1N_gallery_G1.csv", lambda lines: [*lines, "30,4"], r"template 30 shows subject 4, but 3 on an earlier"),
        ("1N_gallery_G1.csv", lambda lines: [*lines, "30," + "9" * 20], r"line \d+: '30,9+', expected numbers"),
        ("1N_gallery_G1.csv", lambda lines: lines[:1], r"G1.csv is empty"),
        ("1N_probe_mixed.csv", lambda lines: [*lines, "999,1"], r"template 999 \(entry \d+\) has no image"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_file_and_line(tmp_path, name, change, message):
    folder = IJB(tmp_path, pictures=False)
    if change is None:
        folder.path(name).unlink()
    else:
        folder.write(name, change(folder.path(name).read_text().splitlines()))
    with pytest.raises(DataError, match=message):
        load_protocol("ijbc", tmp_path)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"has no folder meta; expected .* with meta/ijbb_face_tid_mid.txt"):
        load_protocol("ijbb", tmp_path)


def test_faces_are_aligned_and_landmarks_are_part_of_what_features_depend_on(tmp_path):
    folder = IJB(tmp_path, people=2)
    protocol = load_protocol("ijbc", tmp_path)
    assert protocol.images.read(0).shape == (112, 112, 3)
    lines = folder.path("name_5pts_score.txt").read_text().splitlines()
    words = lines[0].split()
    folder.write("name_5pts_score.txt", [" ".join([words[0], "39.5", *words[2:]]), *lines[1:]])
    moved = load_protocol("ijbc", tmp_path)
    assert moved.image_key != protocol.image_key
    assert np.abs(moved.images.read(0).astype(int) - protocol.images.read(0)).max() > 0
    folder.write("name_5pts_score.txt", [" ".join([words[0], *["7"] * 10, "1"]), *lines[1:]])
    with pytest.raises(DataError, match=r"loose_crop/1.png: landmarks are all in one point"):
        load_protocol("ijbc", tmp_path).images.read(0)


@pytest.mark.parametrize("largest", [0, 2**24])
def test_templates_are_found_whatever_their_numbers(monkeypatch, largest):
    monkeypatch.setattr(ijb_files, "_LARGEST_TABLE", largest)
    ids, path = np.array([3, 7, 900_000_000 if not largest else 90]), Path("list")
    assert template_rows(ids, ids[[2, 0, 1, 0]], path).tolist() == [2, 0, 1, 0]
    for absent in (0, 4, 999_999_999):
        with pytest.raises(DataError, match=rf"list: template {absent} \(entry 2\) has no image"):
            template_rows(ids, np.array([3, absent]), path)
