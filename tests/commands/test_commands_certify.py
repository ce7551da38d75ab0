import json

import numpy as np
import pytest

import facemargin as fm
from facemargin.decision import Certificate
from tests.commands.face_folder import write_crfiqa_model, write_faces
from tests.commands.photo_folder import write_empty, write_photographs


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A folder of 20 people with two faces each, one of which cannot be read."""
    folder = tmp_path_factory.mktemp("people") / "faces"
    paths = write_faces(folder, range(1, 21), each=2)
    paths[3].write_bytes(b"garbage")
    return folder


def test_the_file_holds_what_the_python_form_finds_and_a_page_lies_beside_it(command, trained_run, tmp_path):
    output = tmp_path / "new" / "c.json"
    code, out, err = command(
        "certify", trained_run, "--images", "orl:1-40", "--fmr", "0.3", "--fnmr", "0.4", "--output", output
    )
    assert (code, err) == (0, "")
    found = Certificate.load(output)
    expected = fm.certify(fm.load(trained_run), fm.open_images("orl:1-40"), 0.3, fnmr=0.4)
    (ours,), (theirs,) = found.thresholds.bands, expected.thresholds.bands
    for rate, other in ((ours.fmr, theirs.fmr), (ours.fnmr, theirs.fnmr)):
        assert rate.threshold == pytest.approx(other.threshold, abs=1e-5) and rate.errors == other.errors
        assert f"{100 * rate.target:g} %" in out
    assert found.faces == expected.faces
    assert 'promised with 95 % confidence: at most 30 % pairs of other people get "same"' in out
    assert 'promised with 95 % confidence: at most 40 % pairs of the same person get "different"' in out
    assert f"400 images of 40 people of orl:1-40; {output}, and {output.with_suffix('.html')} says" in out
    assert "What would break the promise" in output.with_suffix(".html").read_text()


def test_a_refusal_is_an_answer_with_an_exit_code(command, trained_run, tmp_path):
    code, out, err = command(
        "certify", trained_run, "--images", "orl:1-40", "--fmr", "1e-3", "--output", tmp_path / "c.json"
    )
    assert (code, err) == (3, "") and "promised" not in out
    assert (
        "refused: FMR 0.001 needs 5,990 people with no false match, the pairs have 40; the lowest that can be "
        "certified is 13.9 %"
    ) in out
    assert not Certificate.load(tmp_path / "c.json").promises and (tmp_path / "c.html").is_file()


def test_a_list_of_pairs_is_said_to_be_weaker(command, trained_run, tmp_path):
    code, out, _ = command(
        "certify", trained_run, "--pairs", "orl:1-9", "--fmr", "0.6", "--output", tmp_path / "c.json"
    )
    assert code == 0  # 36 pairs of people, 8 of each: 4 independent ones, as many as 9 people compared with each other
    assert "if all 9 people were compared with each other (--images), an FMR down to 52.7 % could be certified" in out


def test_stored_embeddings_are_used_if_they_are_the_models(command, trained_run, faces, tmp_path):
    plain = ["certify", trained_run, "--images", faces, "--fmr", "0.5", "--bands", "1", "--output"]
    code, out, err = command(*plain, tmp_path / "a.json")
    assert code == 0 and "39 images of 20 people" in out
    assert "warning: 1 of 40 images cannot be read and was left out" in err
    readable = tmp_path / "readable"
    for path in sorted(faces.rglob("*.jpg")):
        if path.read_bytes() != b"garbage":
            (readable / path.parent.name).mkdir(parents=True, exist_ok=True)
            (readable / path.parent.name / path.name).write_bytes(path.read_bytes())
    assert command("embed", trained_run, readable, "--output", tmp_path / "e.npz")[0] == 0
    stored = ["certify", trained_run, "--images", readable, "--embeddings", tmp_path / "e.npz", "--fmr", "0.5"]
    code, out, err = command(*stored, "--output", tmp_path / "b.json")
    assert (code, err) == (0, "")
    first, second = (Certificate.load(tmp_path / f"{name}.json") for name in "ab")
    assert second.thresholds.threshold == pytest.approx(first.thresholds.threshold, abs=1e-5)
    code, _, err = command(*stored, "--views", "one", "--output", tmp_path / "c.json")
    assert code == 2 and "is not what the model says of it (cosine" in err and "16 compared images differ" in err
    with np.load(tmp_path / "e.npz") as arrays:
        np.savez(tmp_path / "short.npz", paths=arrays["paths"], embeddings=np.eye(5)[np.arange(39) % 5])
    stored[stored.index(tmp_path / "e.npz")] = tmp_path / "short.npz"
    code, _, err = command(*stored, "--output", tmp_path / "c.json")
    assert code == 2 and "embeddings have 5 values" in err and not (tmp_path / "c.json").exists()


def test_photographs(command, trained_run, tmp_path):
    """And verify wants the faces found as the certificate's were."""
    photographs = write_photographs(tmp_path / "photos", range(1, 4), each=1)
    write_empty(tmp_path / "photos" / "s1" / "nobody.png")
    output = tmp_path / "c.json"
    code, out, err = command(
        "certify", trained_run, "--images", tmp_path / "photos", "--detect", "--fmr", "0.97", "--output", output
    )
    assert code == 0 and "3 images of 3 people" in out
    assert "1 of 4 images cannot be read or show no face and was left out" in err
    certificate = Certificate.load(output)
    assert certificate.faces.detector == "centerface" and certificate.faces.settings
    verify = "verify", trained_run, photographs[0], photographs[0], "--certificate", output
    code, out, err = command(*verify, "--detect")
    assert (code, err) == (0, "") and out.splitlines()[2] == "same"
    code, out, err = command(*verify)
    assert (code, out) == (
        2,
        "",
    ) and "on faces that centerface found in photographs, but these images are used as" in err


def test_several_bands_end_in_too_poor(command, trained_run, tmp_path):
    quality = fm.load(trained_run).embed(fm.open_images("orl:1-40")).quality
    arguments = ["certify", trained_run, "--images", "orl:1-40", "--fmr", "0.5", "--output", tmp_path / "c.json"]
    edge = float(np.sort(quality)[3])  # three faces are below it
    code, out, _ = command(*arguments, "--edges", repr(edge))
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if line[:1] == "│"]
    assert code == 0 and [row[2] for row in rows] == ["same", "too poor"] and rows[1][4] == "refused"
    assert rows[0][0] == f"from {edge:.4g} on" and rows[1][0] == f"below {edge:.4g}"
    assert "refused: band 2 of 2: FMR 0.5 needs" in out and "pairs of different people are behind no promise" in out
    assert json.loads((tmp_path / "c.json").read_text())["bands"][0]["lowest_quality"] == pytest.approx(edge)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fmr", "0.1"], "neither is given: expected either --images"),
        (["--fmr", "0.1", "--images", "orl:1-2", "--pairs", "orl:1-2"], "both are given: expected either --images"),
        (["--fmr", "0.1", "--images", "orl:1"], "the 10 images show 1 person"),
        (["--fmr", "1.5", "--images", "orl:1-2"], "fmr is 1.5, expected a rate between 0 and 1"),
        (["--fmr", "0.1", "--fnmr", "0", "--images", "orl:1-2"], "fnmr is 0, expected a rate between 0 and 1"),
        (["--fmr", "0.1", "--confidence", "95", "--images", "orl:1-2"], "confidence is 95, expected a number between"),
        (["--fmr", "0.1", "--images", "orl:1-2", "--bands", "0"], "bands is 0, expected a whole number of at least 1"),
        (["--fmr", "0.1", "--images", "orl:1-2", "--bands", "2", "--edges", "1"], "--bands and --edges are both given"),
        (["--fmr", "0.1", "--pairs", "orl:1-2", "--bands", "2"], "bands of quality need everybody compared"),
        (["--fmr", "0.1", "--images", "orl:1-2", "--on-several", "error"], "--on-several error needs --detect"),
        (["--fmr", "0.1", "--images", "orl:1-2", "--batch-size", "0"], "--batch-size is 0"),
        (["--images", "orl:1-2"], "--fmr"),
        (["--fmr", "0.1", "--pairs", "orl:1-2", "--gallery", "orl:3"], "--gallery is given without --images"),
        (
            ["--fmr", "0.1", "--images", "orl:1-2", "--gallery", "orl:1-2"],
            "20 pictures of the probes are in the gallery, too",
        ),
    ],
)
def test_mistakes_end_with_one_clear_line(command, trained_run, tmp_path, arguments, message):
    code, out, err = command("certify", trained_run, "--output", tmp_path / "c.json", *arguments)
    assert code == 2 and message in out + err and not list(tmp_path.iterdir())


def test_the_output_is_a_json_file_and_what_it_replaces_is_named(command, trained_run, tmp_path):
    arguments = ["certify", trained_run, "--images", "orl:1-4", "--fmr", "0.9", "--output"]
    code, _, err = command(*arguments, tmp_path / "c.txt")
    assert code == 2 and "expected a name that ends in .json" in err
    (tmp_path / "c.html").write_text("mine")
    _, _, err = command(*arguments, tmp_path / "c.json")
    assert err == f"note: {tmp_path / 'c.html'} exists already and is replaced\n"


def test_another_models_certificate_is_refused_by_verify(command, trained_run, tmp_path):
    first, second, _ = write_faces(tmp_path, range(1, 2))
    command("certify", trained_run, "--images", "orl:1-4", "--fmr", "0.9", "--output", tmp_path / "c.json")
    model = write_crfiqa_model(tmp_path / "model.safetensors")
    code, out, err = command("verify", model, first, second, "--certificate", tmp_path / "c.json")
    assert (code, out) == (2, "") and "measures quality by its norm, but this one does by its crfiqa" in err


def test_people_are_compared_with_a_gallery_and_verify_refuses_the_certificate(command, trained_run, tmp_path):
    probes, gallery = tmp_path / "probes", tmp_path / "gallery"
    write_faces(probes, range(1, 25), each=2)
    enrolled = write_faces(gallery, range(21, 29), each=3)
    for path in enrolled:  # the third face of each alone is another picture than those of the probes
        if not path.stem.endswith("3"):
            path.unlink()
    output = tmp_path / "c.json"
    arguments = ["certify", trained_run, "--images", probes, "--gallery", gallery, "--output", output]
    code, out, err = command(*arguments, "--fmr", "0.3", "--fnmr", "0.9")
    assert (code, err) == (0, "")
    expected = fm.certify(fm.load(trained_run), fm.open_images(probes), 0.3, fnmr=0.9, gallery=fm.open_images(gallery))
    found = Certificate.load(output)
    assert found.gallery == expected.gallery and found.faces == expected.faces
    assert found.thresholds.threshold == pytest.approx(expected.thresholds.threshold, abs=1e-5)
    assert (found.gallery.people, found.gallery.probe_people, found.thresholds.bands[0].fmr.people) == (8, 4, 20)
    assert 'at most 30 % comparisons of people who are not enrolled with people of the gallery get "same"' in out
    assert "compared with the gallery" in out and "whoever searches the whole gallery makes as many" in out
    code, out, err = command("verify", trained_run, enrolled[2], enrolled[2], "--certificate", output)
    assert (code, out) == (2, "") and "is about people who are compared with the gallery" in err
    code, out, err = command("cluster", trained_run, probes, "--certificate", output, "--output", tmp_path / "clusters")
    assert code == 2 and "is about people who are compared with the gallery" in err
    code, out, _ = command(*arguments, "--fmr", "0.01")
    assert code == 3 and "FMR 0.01 needs 299 people with no false match, there are 20 who are not enrolled" in out
    enrolled[2].write_bytes(b"garbage")
    code, _, err = command(*arguments, "--fmr", "0.3")
    assert code == 2 and enrolled[2].name in err
