"""`data.drop_suspects` leaves out what an audit found wrong, and nothing else."""

import io
import json

import cv2
import numpy as np
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


def saved_audit(folder, faces):
    """Of a folder of faces: image 1 is mislabelled."""
    images = fm.open_images(faces)
    looked = dict.fromkeys(fm.auditing.KINDS, fm.auditing.LookedFor("by hand", 0.5))
    finding = fm.Finding(images.describe(1), "mislabelled", 0.9, images.identity_names[0])
    fm.Audit([finding], looked, fm.auditing.AuditedData.of(images), "embeddings").save(folder)


def write_faces(root):
    for person in ("Ann", "Bob"):
        (root / person).mkdir(parents=True)
        for number in range(3):
            pixels = np.full((8, 8, 3), 40 * number + 9 * len(root.parts) * (person == "Bob"), np.uint8)
            cv2.imwrite(str(root / person / f"{number}.png"), pixels)
    return root


def test_a_set_that_was_moved_is_recognised_by_what_it_holds(tmp_path):
    faces = write_faces(tmp_path / "here" / "faces")
    saved_audit(tmp_path / "audit", faces)
    there = faces.rename(tmp_path / "there")
    moved = fm.load_recipe("small_cpu", data={"train": str(there), "drop_suspects": str(tmp_path / "audit")})
    left = open_training_images(moved)
    assert len(left) == 5 and not any(left.describe(index).endswith("Ann/1.png") for index in range(5))
    cv2.imwrite(str(there / "Bob" / "2.png"), np.full((8, 8, 3), 255, np.uint8))
    with pytest.raises(fm.DataError, match=r"such as .*: the audit was of another set \(other pictures\)"):
        open_training_images(moved)


def test_a_set_that_has_changed_in_its_place_is_warned_of(tmp_path, caplog):
    faces = write_faces(tmp_path / "faces")
    saved_audit(tmp_path / "audit", faces)
    cv2.imwrite(str(faces / "Bob" / "3.png"), np.full((8, 8, 3), 255, np.uint8))
    changed = fm.load_recipe("small_cpu", data={"train": str(faces), "drop_suspects": str(tmp_path / "audit")})
    assert len(open_training_images(changed)) == 6
    assert "is not quite the set that was audited" in caplog.text and "6 before, 7 now" in caplog.text


def test_a_damaged_audit_is_named(tmp_path):
    faces = write_faces(tmp_path / "faces")
    saved_audit(tmp_path / "audit", faces)
    path = tmp_path / "audit" / "audit.json"
    recipe_of = fm.load_recipe("small_cpu", data={"train": str(faces), "drop_suspects": str(tmp_path / "audit")})
    about = json.loads(path.read_text())
    for damaged in ("{", "[]", json.dumps({**about, "data": {"images": 6}}), json.dumps({**about, "data": None})):
        path.write_text(damaged)
        with pytest.raises(fm.DataError, match=r"audit\.json is damaged or missing"):
            open_training_images(recipe_of)
    path.write_text(json.dumps({**about, "data": {**about["data"], "images": "six"}}))
    assert len(open_training_images(recipe_of)) == 5
