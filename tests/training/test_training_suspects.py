"""`data.drop_suspects` leaves out what an audit found wrong, and nothing else."""

import io

import pytest
from rich.console import Console

import facemargin as fm
from facemargin.data.findings import write_findings
from facemargin.training.training_images import open_training_images


def recipe(folder, **data):
    return fm.load_recipe("small_cpu", data={"train": "orl:1-3", "drop_suspects": str(folder), **data})


def audit(folder, *found):
    """findings.csv of (image of orl:1-3, kind)."""
    images = fm.open_images("orl:1-3")
    write_findings(
        [fm.Finding(images.describe(i), kind, 0.9, "s1", "s2") for i, kind in found], folder / "findings.csv"
    )
    return images


def test_the_found_images_are_left_out_and_counted(tmp_path):
    images = audit(
        tmp_path,
        (3, "mislabelled"),
        (3, "duplicate"),
        (7, "no_face"),
        (9, "unrecognisable"),
        (11, "split"),
        (12, "merged"),
    )
    out = io.StringIO()
    left = open_training_images(recipe(tmp_path), Console(file=out, width=300))
    kept = [i for i in range(30) if i not in (3, 7, 9)]
    assert [left.describe(i) for i in range(len(left))] == [images.describe(i) for i in kept]
    assert left.labels.tolist() == images.labels[kept].tolist()
    assert (
        "3 of 30 images left out for findings of a score of 0.5 or more (mislabelled 1, unrecognisable 1, no_face 1, "
        "duplicate 1); 3 of 3 people remain" in out.getvalue()
    )


def test_only_findings_that_are_sure_enough_count(tmp_path):
    images = fm.open_images("orl:1-3")
    findings = [fm.Finding(images.describe(i), "no_face", score, "s1") for i, score in ((3, 0.49), (5, 0.5), (8, 0.95))]
    write_findings(findings, tmp_path / "findings.csv")
    assert len(open_training_images(recipe(tmp_path))) == 28
    assert len(open_training_images(recipe(tmp_path, drop_from=0.9))) == 29
    assert len(open_training_images(recipe(tmp_path, drop_from=0.0))) == 27


def test_a_person_without_an_image_left_is_no_class(tmp_path):
    audit(tmp_path, *((i, "no_face") for i in range(10, 20)))
    left = open_training_images(recipe(tmp_path))
    assert left.identity_names == ["s1", "s3"] and left.labels.max() == 1 and len(left) == 20


def test_the_limit_is_of_what_is_left(tmp_path):
    audit(tmp_path, *((i, "duplicate") for i in range(5)))
    left = open_training_images(recipe(tmp_path, limit=15))
    assert len(left) == 15 and left.labels.tolist() == [0] * 5 + [1] * 10


def test_too_few_people_left_are_refused(tmp_path):
    audit(tmp_path, *((i, "no_face") for i in range(20)))
    with pytest.raises(fm.DataError, match="of one person"):
        open_training_images(recipe(tmp_path))


def test_an_audit_of_another_set_is_refused(tmp_path):
    write_findings([fm.Finding("elsewhere/1.png", "no_face", 0.9, "s1")], tmp_path / "findings.csv")
    with pytest.raises(fm.DataError, match=r"images that orl:1-3 does not have, such as elsewhere/1\.png"):
        open_training_images(recipe(tmp_path))
    with pytest.raises(fm.DataError, match="nowhere"):
        open_training_images(recipe(tmp_path / "nowhere"))
