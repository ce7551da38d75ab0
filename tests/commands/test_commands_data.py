import json

import cv2
import numpy as np
import pytest

import facemargin as fm
from facemargin.commands.data import histogram
from facemargin.data.findings import write_findings
from facemargin.features.store_files import FeatureFiles
from tests.commands.face_folder import write_faces


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Three people with three images each; one is corrupt, one of s3 is also of s1 (as other bytes)."""
    folder = tmp_path_factory.mktemp("faces")
    paths = write_faces(folder, range(1, 4))
    paths[4].write_bytes(b"nothing")
    paths[7].unlink()
    paths[7].with_suffix(".png").write_bytes(cv2.imencode(".png", cv2.imread(str(paths[0])))[1])
    return folder


def test_the_table(command, faces):
    code, out, err = command("data", "inspect", faces)
    assert code == 0 and err == ""
    lines = {line.split("│")[1].strip(): line.split("│")[2].strip() for line in out.splitlines() if "│" in line}
    assert lines["images"] == "9" and lines["identities"] == "3" and lines["corrupt images"] == "1"
    assert lines["images per identity"] == "2 to 3, median 3" and lines["sizes (height × width)"] == "92 × 92: 8"
    assert lines["duplicates by bytes"].startswith("0 superfluous")
    assert lines["duplicates by pixels"] == "1 superfluous images in 1 groups, 1 of them across identities"
    assert lines["2 to 4"] == "3"
    assert f"{faces}/s2/s2_0002.jpg: not an image" in out
    assert f"the same image of different identities: {faces}/s1/s1_0001.jpg (identity s1), " in out


def test_json_and_picture(command, faces, tmp_path):
    code, out, _ = command("data", "inspect", faces, "--json", "--picture", tmp_path / "new" / "p.svg")
    found = json.loads(out)
    assert code == 0 and found["images"] == 9 and found["sizes"] == [{"height": 92, "width": 92, "images": 8}]
    assert found["images_per_identity"]["histogram"][-1] == {"from": 2, "to": 4, "identities": 3}
    assert found["same_pixels"]["groups"][0]["across_identities"] and len(found["corrupt"]) == 1
    assert (tmp_path / "new" / "p.svg").read_text().count("<svg") == 1
    assert command("data", "inspect", faces, "--picture", tmp_path / "p.png")[0] == 0
    assert cv2.imread(str(tmp_path / "p.png")) is not None


def test_a_set_of_corrupt_images_only(command, tmp_path):
    (tmp_path / "Ann").mkdir()
    (tmp_path / "Ann" / "0.jpg").write_bytes(b"")
    code, out, _ = command("data", "inspect", tmp_path, "--picture", tmp_path / "p.png")
    assert code == 0 and "0 to 0" in out and (tmp_path / "p.png").is_file()


@pytest.mark.parametrize("counts", [(3, 3), (1, 2), (1, 60), (*[1] * 22, 9)])
def test_what_the_picture_shows(command, tmp_path, counts):
    rng = np.random.default_rng(0)
    for person, count in enumerate(counts):
        (tmp_path / "set" / f"p{person:02d}").mkdir(parents=True)
        for number in range(count):
            image = rng.integers(0, 255, (20 + 2 * person, 24, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / "set" / f"p{person:02d}" / f"{number}.png"), image)
    code, _, _ = command("data", "inspect", tmp_path / "set", "--picture", tmp_path / "p.png")
    picture = cv2.imread(str(tmp_path / "p.png"))
    # A row of faces for the most and the fewest images, or one for all; it is higher than one that shows no faces.
    assert code == 0 and picture.shape[0] > 100 * (0.6 + 3.2 + 1.75 * (1 + (len(set(counts)) > 1))) - 2


def test_the_findings_of_an_audit_are_shown_or_refused(command, faces, tmp_path):
    found = fm.Finding(f"{faces}/s1/s1_0001.jpg", "mislabelled", 0.9, "s1", "s2")
    write_findings([found], tmp_path / "findings.csv")
    plain, shown = tmp_path / "plain.png", tmp_path / "shown.png"
    assert command("data", "inspect", faces, "--picture", plain)[0] == 0
    code, _, err = command("data", "inspect", faces, "--picture", shown, "--audit", tmp_path)
    assert code == 0 and "so the plane of norms and cosines is not drawn" in err
    assert cv2.imread(str(shown)).shape[0] > cv2.imread(str(plain)).shape[0]
    without = cv2.imread(str(shown)).shape[0]
    # The plane: by embeddings that an audit has kept.
    features = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    with FeatureFiles(tmp_path / "embeddings", "key", 9, 4) as files:
        files.write(range(9), features, np.linalg.norm(features, axis=1), np.ones(9, np.float32), {})
        files.save()
    code, _, err = command("data", "inspect", faces, "--picture", shown, "--audit", tmp_path)
    assert (code, err) == (0, "") and cv2.imread(str(shown)).shape[0] == without + 320
    code, _, err = command("data", "inspect", "orl:1", "--picture", shown, "--audit", tmp_path)
    assert code == 2
    code, _, err = command("data", "inspect", faces, "--audit", tmp_path)
    assert code == 2 and "add --picture, or remove --audit" in err
    write_findings([fm.Finding("elsewhere.png", "no_face", 0.9, "s1")], tmp_path / "findings.csv")
    code, _, err = command("data", "inspect", faces, "--picture", shown, "--audit", tmp_path)
    assert code == 2 and "the audit was of another set" in err


def test_histogram():
    counts = np.array([0, 1, 1, 3, 10, 19, 20, 5000])
    assert [(row["from"], row["to"], row["identities"]) for row in histogram(counts) if row["identities"]] == [
        (0, 0, 1), (1, 1, 2), (2, 4, 1), (10, 19, 2), (20, 49, 1), (1000, None, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "nowhere"], "facemargin data: nowhere does not exist"),
        (["look"], "unknown action 'look': expected inspect, review, clean, as in facemargin data inspect"),
        ([], "the action is missing: expected inspect, review, clean"),
        (["inspect", "orl:1", "--picture", "p.jpg"], "expected a name that ends in .svg or .png"),
    ],
)
def test_mistakes(command, arguments, message):
    code, out, err = command("data", *arguments)
    assert (code, out) == (2, "") and message in err


def test_its_help_names_the_actions(command):
    code, out, _ = command("data", "--help")
    assert code == 0
    for action in ("inspect", "review", "clean"):
        assert f"\n  {action} " in out
        assert f"usage: facemargin data {action}" in command("data", action, "--help")[1]
