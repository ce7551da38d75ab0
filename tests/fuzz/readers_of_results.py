"""Every reader of embeddings, qualities, protocols' lists and of what reports show, with real files."""

import json
import warnings
from pathlib import Path

import numpy as np
import scipy.io

from facemargin.auditing import Audit, AuditedData, LookedFor, load_audit
from facemargin.auditing.decisions import read_decisions, write_decisions
from facemargin.auditing.plane import embedded_plane
from facemargin.data.findings import KINDS, Finding
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ArrayImages, WithLabels
from facemargin.detection.face import Face
from facemargin.detection.journal import FaceJournal, ImageFaces
from facemargin.evaluation.differences_file import ProtocolDifferences, write_differences
from facemargin.evaluation.groups import ImageGroups
from facemargin.evaluation.metrics.paired_difference import TarDifference
from facemargin.evaluation.metrics.tar_at_far import OperatingPoint
from facemargin.evaluation.origin import Making, Origin, note_origin, read_making, read_origin
from facemargin.evaluation.protocols.known import load_protocol
from facemargin.evaluation.quality_comparison import QualityMeasures
from facemargin.evaluation.system_differences import SystemDifference, SystemDifferences
from facemargin.features.embeddings_file import EmbeddingsFile
from facemargin.features.groups_file import GroupsFile
from facemargin.features.pieces import Pieces
from facemargin.features.quality_file import QualityFile
from facemargin.features.store import features_key
from facemargin.features.store_files import FeatureFiles
from facemargin.features.tracks import Sighting
from facemargin.features.video_journal import SearchedFrame, VideoJournal
from facemargin.gallery.certificate import GalleryCertificate, certified_search_rate
from facemargin.gallery.folder_store import FolderStore
from facemargin.quality.image_statistics import Reason
from facemargin.recording import load_recording
from facemargin.recording.columns import NUMBERS
from facemargin.recording.writer import RecordingWriter, write_samples
from facemargin.report.content import load_run
from facemargin.report.page import write_run_report
from facemargin.serving.keys import create_key, read_keys, revoke_key
from tests.fuzz.fuzzing import Reader
from tests.fuzz.readers_of_data import PNG, read_all
from tests.gallery.galleries import SIZE, make_store, new_images, unit_vectors
from tests.models.tiny_models import tiny_model
from tests.protocol_folders import IJB, cells
from tests.report.report_runs import (
    decisions,
    gallery,
    metrics_columns,
    pair_scores,
    validation_columns,
    write_checked,
    write_csv,
)

NAMED = ArrayImages(np.zeros((3, 4, 4, 3), np.uint8), "a")
PATHS = [NAMED.describe(index) for index in range(3)]


def write_embeddings(compress: bool):
    def write(folder: Path) -> None:
        save = np.savez_compressed if compress else np.savez
        features = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
        save(folder / "e.npz", paths=np.array(PATHS), embeddings=features, quality=np.arange(3.0))

    return write


def read_embeddings(folder: Path) -> None:
    found = EmbeddingsFile(folder / "e.npz").embed(NAMED)
    assert found.vectors.shape[0] == 3 and np.isfinite(found.vectors).all() and np.isfinite(found.quality).all()


def write_quality(folder: Path) -> None:
    lines = ["path;UnifiedQualityScore;note"] + [
        f'"{path}";{number / 7};"a ""b"""' for number, path in enumerate(PATHS)
    ]
    (folder / "q.csv").write_text("\n".join(lines) + "\n")


def read_quality(folder: Path) -> None:
    assert np.isfinite(QualityFile(folder / "q.csv").of(NAMED)).all()


def write_groups(folder: Path) -> None:
    lines = ["image;sex;camera"] + [f'"{path}";f;"a ""b"""' for path in PATHS]
    (folder / "g.csv").write_text("\n".join(lines) + "\n")


def read_groups(folder: Path) -> None:
    numbers = np.arange(3)
    pairs = VerificationSet("a", NAMED, numbers, numbers[::-1], numbers == 1, identities_N=numbers)
    found = GroupsFile(folder / "g.csv").of(pairs)
    assert all(len(labels) == 3 for labels in found.values())
    ImageGroups.of(pairs, found)


def write_features(folder: Path) -> None:
    rows = np.ones((4, 3), np.float32)
    with FeatureFiles(folder / "cache", "key", 6, 3) as files:
        files.write(range(4), rows, rows[:, 0], rows[:, 0], {2: "a/2.jpg: broken"})
        files.save()


def read_features(folder: Path) -> None:
    with FeatureFiles(folder / "cache", "key", 6, 3) as files:
        assert 0 <= files.done <= 6 and all(0 <= index < files.done for index in files.unreadable)
        rest = np.zeros((6 - files.done, 3), np.float32)
        files.write(range(files.done, 6), rest, rest[:, 0], rest[:, 0], {})
        files.save()
        assert [len(one) for one in files.arrays()] == [6, 6, 6]


PIECES = ("key", 6, 3, 2)


def write_pieces(folder: Path) -> None:
    pieces = Pieces(folder / "cache", *PIECES)
    pieces.begin()
    for piece in pieces.ranges:
        rows = np.ones((2, 3), np.float32)
        pieces.write(piece, (rows, rows[:, 0], rows[:, 0]), {piece.start: "a/2.jpg: broken"})


def read_pieces(folder: Path) -> None:
    pieces = Pieces(folder / "cache", *PIECES)
    pieces.check()
    with FeatureFiles(folder / "cache", "key", 6, 3) as files:
        for piece, messages in pieces.take_up(files):
            assert all(index in piece for index in messages)
        files.save()
        pieces.remove(files.done)


def write_journal(folder: Path) -> None:
    faces = (Face((1.0, 2.0, 30.0, 40.0), 0.9, np.arange(10.0).reshape(5, 2)),)
    with FaceJournal(folder / "faces.jsonl", {"detector": "centerface", "min_score": 0.5}) as journal:
        journal.add(ImageFaces("a.jpg", 100, 90, faces, ("a.png",)))
        journal.add(ImageFaces("b.jpg", problem="no face"))


def read_journal(folder: Path) -> None:
    from facemargin.commands._face_files import write_faces_csv

    with FaceJournal(folder / "faces.jsonl", {"detector": "centerface", "min_score": 0.5}) as journal:
        write_faces_csv(journal.records(["a.jpg", "b.jpg"]), folder / "faces.csv")


def write_plane(folder: Path) -> None:
    features = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    with FeatureFiles(folder / "embeddings", "key", 6, 4) as files:
        files.write(range(6), features, np.ones(6, np.float32), np.ones(6, np.float32), {2: "broken"})
        files.save()


def read_plane(folder: Path) -> None:
    images = WithLabels(ArrayImages(np.zeros((6, 4, 4, 3), np.uint8), "a"), np.repeat([0, 1], 3), ["Ann", "Bob"])
    assert len(embedded_plane(folder / "embeddings", images).cosine_N) == 6


def write_video_journal(folder: Path) -> None:
    face = Face((1.0, 2.0, 30.0, 40.0), 0.9, np.arange(10.0).reshape(5, 2))
    reasons = (Reason("too_small", "small"),)
    seen = Sighting(0, 0.0, face, np.zeros((0, 0, 3), np.uint8), np.full(4, 0.5, np.float32), 3.0, 2.0, reasons)
    (folder / "a.mp4").write_bytes(b"a video")
    with VideoJournal(folder / "a.journal", 4, {"rate": 5}) as journal:
        journal.add(str(folder / "a.mp4"), 0, [SearchedFrame(0, 0.0, [seen, seen]), SearchedFrame(5, 0.2, [])])
        journal.add(str(folder / "a.mp4"), 1, [SearchedFrame(10, 0.4, [seen])])


def read_video_journal(folder: Path) -> None:
    with VideoJournal(folder / "a.journal", 4, {"rate": 5}) as journal:
        for number in range(2):
            for frame in journal.get(str(folder / "a.mp4"), number) or []:
                assert all(np.isfinite(seen.vector_D).all() and len(seen.vector_D) == 4 for seen in frame.sightings)


def write_ijbc(folder: Path) -> None:
    IJB(folder, people=3, pictures=False)
    (folder / "loose_crop").mkdir()
    for number in range(1, 4):
        (folder / "loose_crop" / f"{number}.png").write_bytes(PNG[number])


def write_mat(path: Path, names: list, **more) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    variable = path.stem if not more else next(iter(more)).replace("_ids", "_set")
    scipy.io.savemat(path, {variable: cells(names), **more}, do_compression=bool(len(names) % 2))


def write_survface(folder: Path) -> None:
    write_mat(folder / "positive_pairs_names.mat", [("1_0.png", "1_1.png"), ("2_0.png", "2_1.png")])
    write_mat(
        folder / "negative_pairs_names.mat", [("1_0.png", "2_0.png"), ("1_1.png", "2_1.png"), ("1_1.png", "2_0.png")]
    )


def write_tinyface(folder: Path) -> None:
    for kind, variable, place in (("gallery_match", "gallery", "Gallery_Match"), ("probe", "probe", "Probe")):
        names = [[f"{person}_{place[0]}.png"] for person in (1, 2, 3)]
        ids = np.array([[1], [2], [3]], dtype=np.uint16)
        write_mat(folder / f"{kind}_img_ID_pairs.mat", names, **{f"{variable}_ids": ids})
    (folder / "Gallery_Distractor").mkdir()
    (folder / "Gallery_Distractor" / "9.png").write_bytes(PNG[0])


def write_lists(folder: Path) -> None:
    gallery_lines = ["image,identity,template,media", "a1.png,ann,1,v", "a2.png,ann,1,v", 'b1.png,"bob, jr",2,v']
    probe = ["media,image,extra,template,identity", 'x,p1.png,,1,"bob, jr"', "y,p2.png,,2,eve"]
    for name, lines in (("gallery", gallery_lines), ("probe", probe), ("distractors", ["image", "d.png"])):
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


def reads_protocol(name: str):
    def read(folder: Path) -> list[str]:
        protocol = load_protocol(name, folder)
        features_key(tiny_model(), protocol.images)
        return read_all(protocol.images)

    return read


def write_report(folder: Path) -> None:
    place = folder / "evaluation" / "people"
    place.mkdir(parents=True)
    scores = pair_scores("facemargin", "people", people=3, images=3, quality=True, folds=True)
    scores.save(place / "facemargin.npz")
    pair_scores("raw pixels", "people", people=3, images=3, separation=1.0).save(place / "raw-pixels.npz")
    gallery(4).save(place / "faces.npz")
    write_checked(folder, "people", helps=True)
    decisions().save(place / "decisions.npz")
    (folder / "summary.txt").write_text("What was done.\nWhat came out.\n")
    count = len(scores.scores_K)
    indices = np.arange(count) % 9
    QualityMeasures(
        "facemargin", "people", ["norm", "other"], scores.scores_K, scores.same_K, indices, (indices + 1) % 9,
        np.random.default_rng(0).normal(size=(2, 9)),
    ).save(place / "quality.npz")  # fmt: skip
    ImageGroups(
        "people", ["site"], [["north", "south"]], np.array([np.arange(9) % 3 - 1]), indices, (indices + 1) % 9
    ).save(place / "groups.npz")
    write_csv(folder / "metrics.csv", metrics_columns(5))
    write_csv(folder / "validation.csv", validation_columns())
    (folder / "recipe.yaml").write_text("epochs: 8\nhead:\n  name: funface\n")
    (folder / "environment.json").write_text(json.dumps({"python": "3.11", "threads": 2, "seconds": 61.5}))
    protocol = folder / "protocols" / "ijbc"
    protocol.mkdir(parents=True)
    found = {
        "protocol": "ijbc", "system": "facemargin", "images": 9, "templates": 3, "preset": "paper", "unreadable": 1,
        "failed": 0, "views": "flip", "rule": "standard", "notes": ["a note"],
        "figures": [{"name": "a", "value": 0.9, "behind": "3 impostors"}, {"name": "x", "value": None, "behind": ""}],
        "searches": [{"name": "1:N", "candidates": "best"}],
        "verification": [{"name": "1:1", "impostors": 100, "far_T": [0.0, 0.1, 1.0], "tar_T": [0.5, 0.9, 1.0]}],
    }  # fmt: skip
    (protocol / "facemargin.json").write_text(json.dumps(found, indent=1))
    write_differences(protocol / "differences.json", ProtocolDifferences(("facemargin", "b"), {"1:1": _tested()}))


def _tested() -> SystemDifferences:
    point = OperatingPoint(0.01, 0.01, 0.9, 0.4, 3, 300, 30)
    difference = TarDifference(0.01, 0.1, (-0.1, 0.2), 0.4, point, point, (3, 4), 1e-3, float("nan"), 1.0, 40)
    return SystemDifferences((SystemDifference("facemargin", "b", difference, 0.8),), ("a note",), 9)


def read_report(folder: Path) -> None:
    load_run(folder)


def draw_report(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # matplotlib's, of names that no font can draw
        write_run_report(folder, bootstrap=None)


def write_origin(folder: Path) -> None:
    note_origin(
        folder,
        Origin("people", "0a1b"),
        {"facemargin": Origin("runs/a", "2c3d")},
        {"facemargin": Making("funface", "2026", "c", "v")},
    )


def read_figures_origin(folder: Path) -> None:
    read_origin(folder / "origin.json")
    read_making(folder / "origin.json")


def write_recording(folder: Path) -> None:
    for process in range(2):
        writer = RecordingWriter(folder / "recording", 0, "float16", {"processes": 2}, process)
        for step in range(1, 5):
            numbers = np.random.default_rng(step + process).normal(size=(4, 6))
            columns = dict(zip(NUMBERS, numbers, strict=True))
            writer.add(step, {"sample": np.arange(6) * 7 % 11, "hardest_class": np.arange(6) % 3, **columns})
            if step % 2 == 0:
                writer.close_file(step)
        writer.finish(4, keep=False)
    write_samples(folder / "recording", np.arange(11) % 3, ["a", "b", "c"])


def read_recording(folder: Path) -> None:
    recording = load_recording(folder)
    assert all(len(values) == len(recording) for values in recording.columns.values())
    assert recording.labels.min() >= 0 and recording.labels.max() < len(recording.identity_names)


def write_audit(folder: Path) -> None:
    kinds = {kind: LookedFor("how", 0.5, 0.9) for kind in KINDS}
    findings = [Finding(f"a/{number}.jpg", "split", number / 7, "a", "b", "b/1.jpg", "why") for number in range(5)]
    data = AuditedData("faces", 9, 2, "1" * 32, "2" * 32, "3" * 32)
    Audit(findings, kinds, data, "embeddings", {"name": "m"}, None, {"a": ["a/1.jpg"]}, ["a/2.jpg: broken"]).save(
        folder
    )


def read_audit(folder: Path) -> None:
    audit = load_audit(folder)
    assert sum(audit.counts().values()) == len(audit) and all(np.isfinite(finding.score) for finding in audit)


def write_some_decisions(folder: Path) -> None:
    findings = [Finding(f"a/{number}.jpg", "split", number / 7, "a", "b", "b/1.jpg", 'a ""b""') for number in range(5)]
    write_decisions([(finding, number % 2 == 0) for number, finding in enumerate(findings)], folder / "decisions.csv")


def read_some_decisions(folder: Path) -> None:
    for decision in read_decisions(folder / "decisions.csv"):
        assert np.isfinite(decision.finding.score) and decision.where


def write_gallery(folder: Path) -> None:
    store = make_store(folder / "gallery")
    store.add({"ann": new_images(2), "bob": new_images(3, 1), "cy": new_images(1, 2, in_review=True)})
    store.remove_images([2])
    store.close()


def read_gallery(folder: Path) -> list[str]:
    store = FolderStore(folder / "gallery")
    try:
        problems = store.check()
        found = store.search(unit_vectors(2, 5), 2)
        store.person_names([number for number in found.people_PK.ravel().tolist() if number >= 0])
        names = [person.name for person in store.people()]
        assert all(store.vectors([image.number]).shape == (1, SIZE) for image in store.images())
        store.add({name: new_images(1, 7) for name in [*names, "dan"]})
        return problems
    finally:
        store.close()


def write_gallery_certificate(folder: Path) -> None:
    rates = [certified_search_rate(np.arange(90.0) / 90, np.arange(90), rate, 0.025) for rate in (0.2, 0.3)]
    GalleryCertificate("g", "ab", 3, "faces", *rates, 0.95, 9.5, 1, "2026", "1").save(folder / "g.json")


def read_gallery_certificate(folder: Path) -> None:
    found = GalleryCertificate.load(folder / "g.json")
    assert found.promises == (not found.refusals) and (found.rule() is None or np.isfinite(found.rule().accept))


def write_keys(folder: Path) -> None:
    for name in ("a", "b"):
        create_key(folder / "keys.json", name, ("read", "write"))
    revoke_key(folder / "keys.json", "a")


def read_all_keys(folder: Path) -> None:
    keys = read_keys(folder / "keys.json")
    assert keys and all(set(key.scopes) <= {"read", "write"} and len(key.sha256) == 64 for key in keys)


READERS = [
    Reader("keys of a service", write_keys, read_all_keys),
    Reader("certificate of searches", write_gallery_certificate, read_gallery_certificate),
    Reader("gallery", write_gallery, read_gallery),
    Reader("tables of a gallery", write_gallery, read_gallery, ("*.sqlite",)),
    Reader("audit", write_audit, read_audit),
    Reader("decisions on an audit", write_some_decisions, read_some_decisions),
    Reader("recording", write_recording, read_recording),
    Reader("origin of figures", write_origin, read_figures_origin),
    Reader("embeddings", write_embeddings(False), read_embeddings),
    Reader("compressed embeddings", write_embeddings(True), read_embeddings),
    Reader("quality table", write_quality, read_quality),
    Reader("groups table", write_groups, read_groups),
    Reader("stored features", write_features, read_features),
    Reader("manifest of features", write_features, read_features, ("*.json",)),
    Reader("pieces of features", write_pieces, read_pieces),
    Reader("layout of pieces", write_pieces, read_pieces, ("**/*.json",)),
    Reader("journal of faces", write_journal, read_journal),
    Reader("plane of an audit", write_plane, read_plane),
    Reader("journal of videos", write_video_journal, read_video_journal, ("*.journal",)),
    Reader("IJB-C", write_ijbc, reads_protocol("ijbc"), ("meta/*",)),
    Reader("SurvFace", write_survface, reads_protocol("survface")),
    Reader("TinyFace", write_tinyface, reads_protocol("tinyface"), ("*.mat",)),
    Reader("lists to search", write_lists, reads_protocol("identification")),
    Reader("content of a report", write_report, read_report),
    Reader("report", write_report, draw_report, slow=10),
]
