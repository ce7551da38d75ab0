import csv
import dataclasses
import json

import numpy as np
import pytest
import torch

import facemargin as fm
from facemargin.auditing import AuditedData, LookedFor
from facemargin.auditing.interclass import Interclass, interclass, nearest_other_center
from facemargin.data.findings import KINDS, read_findings, write_findings
from facemargin.data.source import ArrayImages, WithLabels

FINDINGS = [
    fm.Finding("b/1.jpg", "duplicate", 0.5, "b", "a", "a/2.jpg", "the same picture"),
    fm.Finding('a/"x", \udcff.jpg', "mislabelled", 0.25, "a", reason="two\nlines, and a comma"),
    fm.Finding("a/2.jpg", "mislabelled", 1 - 1e-12, "a", "b"),
]


def faces(labels=(0, 0, 1), names=("a", "b"), gray=0):
    images = np.full((len(labels), 4, 4, 3), gray, np.uint8)
    return WithLabels(ArrayImages(images, "made"), np.array(labels), list(names))


def an_audit(findings=FINDINGS):
    kinds = {kind: LookedFor("not looked for") for kind in KINDS}
    kinds["mislabelled"] = LookedFor("by its neighbours", 0.25, 0.9)
    return fm.Audit(
        list(findings), kinds, AuditedData.of(faces()), "embeddings", {"name": "m"}, None, {"b": ["b/1.jpg"]}, ["one"]
    )


def test_an_audit_is_read_as_it_was_saved(tmp_path):
    audit = an_audit()
    assert [finding.score for finding in audit] == [1 - 1e-12, 0.25, 0.5]
    audit.save(tmp_path / "new" / "folder")
    assert fm.load_audit(tmp_path / "new" / "folder") == audit
    assert sum(audit.counts().values()) == len(audit) == 3 and list(audit.counts()) == list(KINDS)
    with (tmp_path / "new" / "folder" / "findings.csv").open(newline="", errors="surrogateescape") as file:
        header, *rows = csv.reader(file)
    assert header == ["path", "kind", "score", "label", "suggested", "other_path", "reason"]
    assert [float(row[2]) for row in rows] == [1 - 1e-12, 0.25, 0.5] and rows[1][0] == 'a/"x", \udcff.jpg'
    about = json.loads((tmp_path / "new" / "folder" / "audit.json").read_text())
    assert about["kinds"]["mislabelled"] == {
        "findings": 2, "how": "by its neighbours", "threshold": 0.25, "estimated_precision": 0.9,
    }  # fmt: skip


def test_findings_of_another_program_are_read_by_their_columns(tmp_path):
    (tmp_path / "f.csv").write_text("note,kind,path,label,suggested,other_path,reason,score\n,split,a/1,a,b,b/1,,3\n")
    assert read_findings(tmp_path / "f.csv") == [fm.Finding("a/1", "split", 3.0, "a", "b", "b/1")]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("mislabelled", "mislabeled", r"line 2: unknown kind 'mislabeled'; did you mean 'mislabelled'\?"),
        ("0.25", "nan", "line 4: the score is 'nan', expected a finite number"),
        ("score", "points", "expected the columns path, kind, .* wrong: score"),
        ("b/1.jpg,duplicate,0.5,b,a,a/2.jpg,the same picture", "x,split", "line 5: expected 7 values or more, found 2"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path, before, after, message):
    write_findings(an_audit(), tmp_path / "f.csv")
    text = (tmp_path / "f.csv").read_bytes()
    assert before.encode() in text
    (tmp_path / "f.csv").write_bytes(text.replace(before.encode(), after.encode(), 1))
    with pytest.raises(fm.DataError, match=message) as caught:
        read_findings(tmp_path / "f.csv")
    assert str(tmp_path / "f.csv") in str(caught.value)


def test_the_files_of_two_audits_are_not_mixed(tmp_path):
    an_audit().save(tmp_path / "a")
    an_audit(FINDINGS[:1]).save(tmp_path / "b")
    (tmp_path / "b" / "findings.csv").replace(tmp_path / "a" / "findings.csv")
    with pytest.raises(fm.DataError, match=r"audit.json tells of 3 findings, but findings.csv beside it holds others"):
        fm.load_audit(tmp_path / "a")


def test_only_the_audited_images_are_the_same_data():
    audit = an_audit()
    audit.require_same_data(faces())
    for images, message in (
        (faces((0, 0, 1, 1)), "the number of images: 3 before, 4 now; other labels"),
        (faces((0, 1, 1)), "other labels, or images in another order. Its"),
        (faces(names=("a", "c")), "other names of people"),
        (faces(gray=1), "other pictures. Its findings would mean other images: audit it again"),
    ):
        with pytest.raises(fm.DataError, match=message):
            audit.require_same_data(images)


def test_a_later_format_is_refused(tmp_path):
    an_audit().save(tmp_path)
    text = (tmp_path / "audit.json").read_text()
    (tmp_path / "audit.json").write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(fm.DataError, match="has format 2, expected 1"):
        fm.load_audit(tmp_path)
    (tmp_path / "audit.json").write_text(text.replace('"how"', '"what"'))
    with pytest.raises(fm.DataError, match=r"audit.json is damaged or missing"):
        fm.load_audit(tmp_path)


def test_every_kind_is_explained():
    assert {field.name for field in dataclasses.fields(LookedFor)} == {"how", "threshold", "estimated_precision"}
    assert all(len(words) > 10 for words in KINDS.values())


def test_a_threshold_for_filtering_is_measured(tmp_path):
    """At most 1 in 1,000 ordinary images is above it, as it is written, to two decimals."""
    labels = np.repeat(np.arange(50), 40)
    images = WithLabels(ArrayImages(np.zeros((2000, 1, 1, 3), np.uint8), "set"), labels, [f"p{n}" for n in range(50)])
    nearest = np.linspace(-0.2, 0.4567, 2000)
    nearest[[5, 6]], nearest[7] = 0.9, np.nan
    findings = [fm.Finding(images.describe(row), "mislabelled", 0.9, "p0", "p1") for row in (5, 6)]
    findings += [fm.Finding(images.describe(80), "split", 0.8, "p2", "p3"), fm.Finding("x", "split", 0.4, "p4", "p5")]
    found = interclass(nearest, images, np.arange(2000), findings, "embeddings")
    assert found == Interclass(0.46, 2000 - 3 - 80, 82, 2, "embeddings")
    audit = dataclasses.replace(an_audit(), interclass=found)
    audit.save(tmp_path)
    assert fm.load_audit(tmp_path).interclass == found
    assert interclass(nearest[:90], images, np.arange(90), [], "recording") is None
    vectors = np.float32([[1, 0], [0.6, 0.8], [0, 1], [0.8, 0.6]])
    near = nearest_other_center(vectors, np.array([0, 1, 2, 1]), 4, torch.device("cpu"))
    assert near == pytest.approx([np.sqrt(0.5), 0.8, np.sqrt(0.5), 0.8], abs=1e-6)
