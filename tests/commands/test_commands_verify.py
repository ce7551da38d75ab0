import csv
from dataclasses import replace

import cv2
import pytest

import facemargin as fm
from facemargin.interop.released import RELEASED, is_here
from tests.commands.face_folder import write_crfiqa_model, write_faces
from tests.commands.photo_folder import write_empty, write_photographs


def read(path):
    return cv2.imread(str(path))[:, :, ::-1]


@pytest.fixture(scope="module")
def calibrated(trained_run, tmp_path_factory):
    """The calibration of the tiny run on the people it was trained on."""
    from facemargin.data.formats.orl import embedded_verification_set

    calibration = fm.calibrate(fm.load(trained_run), embedded_verification_set(range(1, 5)))
    path = tmp_path_factory.mktemp("calibrated") / "c.json"
    calibration.save(path)
    return path


def with_threshold(path, **changes):
    """A calibration as in `path`, with other values at every rate."""
    calibration = fm.Calibration.load(path)
    return replace(calibration, thresholds=tuple(replace(point, **changes) for point in calibration.thresholds))


def test_without_a_calibration_there_is_a_score(command, trained_run, tmp_path):
    first, second, _ = write_faces(tmp_path, range(1, 2))
    code, out, err = command("verify", trained_run, first, second)
    expected = fm.verify(fm.load(trained_run), read(first), read(second))
    assert (code, err) == (0, "")
    assert out == (f"score {expected.score:.4f}\nquality {expected.quality_a:.4g} and {expected.quality_b:.4g}\n")


@pytest.mark.parametrize(
    ("changes", "answer", "exit_code"),
    [
        ({"threshold": -1.0, "quality_floor": 0.0}, "same", 0),
        ({"threshold": 1.1, "quality_floor": 0.0}, "different", 1),
        ({"threshold": -1.0, "quality_floor": 1e6}, "too poor to decide", 3),
    ],
)
def test_a_decision_and_its_exit_code(command, trained_run, calibrated, tmp_path, changes, answer, exit_code):
    first, second, _ = write_faces(tmp_path, range(1, 2))
    with_threshold(calibrated, **changes, estimated=(0.01, 0.1)).save(tmp_path / "c.json")
    code, out, err = command(
        "verify", trained_run, first, second, "--calibration", tmp_path / "c.json", "--fmr", "0.05"
    )
    lines = out.splitlines()
    assert (code, err) == (exit_code, "") and len(lines) == 3 and lines[2] == answer
    assert f"same from {changes['threshold']:.4f} on (FMR 0.05" in lines[0]
    assert "enough from" in lines[1]


@pytest.fixture(scope="module")
def certificate(trained_run):
    """Three answers in a better and a poorer band, and below them "too poor"."""
    found = fm.certify(fm.load(trained_run), fm.open_images("orl:1-40"), 0.5, fnmr=0.5, bands=3)
    assert found.promises
    return found


def certificate_with(certificate, low, high, qualities):
    """With other thresholds and edges; the poorest band is refused."""
    rates = {"fmr": certificate.thresholds.bands[0].fmr, "fnmr": certificate.thresholds.bands[0].fnmr}
    rates = {name: replace(rate, threshold=at) for (name, rate), at in zip(rates.items(), (high, low), strict=True)}
    refused = replace(rates["fmr"], threshold=None, certified=None, observed=None, estimated=None, refusal="too few")
    bands = tuple(
        replace(
            certificate.thresholds.bands[0], lowest_quality=quality, **rates | ({} if place < 2 else {"fmr": refused})
        )
        for place, quality in enumerate((*qualities, None))
    )
    thresholds = replace(certificate.thresholds, bands=bands, quality_floor=qualities[-1])
    return replace(certificate, thresholds=thresholds)


@pytest.mark.parametrize(
    ("low", "high", "qualities", "answer", "exit_code", "said"),
    [
        (-2.0, -1.5, (1e6, 0.0), "same", 0, "promised: at most 1 of 2 pairs of other people score this high"),
        (1.5, 2.0, (1e6, 0.0), "different", 1, "promised: at most 1 of 2 pairs of the same person score this low"),
        (-2.0, 2.0, (0.0, -1.0), "cannot tell", 3, '"same" is certified from 2.0000 on, "different" below -2.0000'),
        (-2.0, -1.5, (2e6, 1e6), "too poor to decide", 3, "it takes 1e+06"),
    ],
)
def test_a_certificate_names_its_guarantee(
    command, trained_run, certificate, tmp_path, low, high, qualities, answer, exit_code, said
):
    faces = write_faces(tmp_path / "faces", range(1, 2))
    given = certificate_with(certificate, low, high, qualities)
    given.save(tmp_path / "c.json")
    code, out, err = command("verify", trained_run, *faces[:2], "--certificate", tmp_path / "c.json")
    lines = out.splitlines()
    assert (code, err) == (exit_code, "") and len(lines) == 4 and lines[2] == answer and said in lines[3]
    people = given.thresholds.bands[0].fmr.people
    assert ("95 % confidence, certified on" in lines[3]) == (exit_code < 3)
    assert exit_code != 0 or lines[3].endswith(f"certified on {people} people")
    result = fm.verify(fm.load(trained_run), read(faces[0]), read(faces[1]), certificate=given)
    assert (result.decision, result.guarantee) == (answer, lines[3]) and result.threshold is None
    names = [path.relative_to(tmp_path).as_posix() for path in faces]
    (tmp_path / "pairs.csv").write_text(f"{names[0]},{names[1]}\n{names[1]},{names[2]}\n")
    code, out, _ = command(
        "verify", trained_run, "--pairs", tmp_path / "pairs.csv", "--output", tmp_path / "r.csv", "--certificate",
        tmp_path / "c.json",
    )  # fmt: skip
    assert code == 0 and "2 pairs: " in out and f"2 {answer}" in out
    assert 'promised with 95 % confidence: at most 1 of 2 pairs of other people get "same"' in out
    with (tmp_path / "r.csv").open(newline="") as file:
        assert [row["decision"] for row in csv.DictReader(file)] == [answer, answer]


def test_a_certificate_that_promises_nothing_and_two_sources_of_thresholds_are_refused(
    command, trained_run, calibrated, certificate, tmp_path
):
    first, second, _ = write_faces(tmp_path, range(1, 2))
    model = fm.load(trained_run)
    nothing = fm.certify(model, fm.open_images("orl:1-4"), fmr=1e-3)
    nothing.save(tmp_path / "c.json")
    verify = "verify", trained_run, first, second, "--certificate", tmp_path / "c.json"
    code, out, err = command(*verify)
    assert (code, out) == (2, "") and "promises nothing, so there is nothing to decide by: FMR 0.001 needs 5,990" in err
    for option in (["--calibration", calibrated], ["--fmr", "0.1"]):
        code, out, err = command(*verify, *option)
        assert (code, out) == (2, "") and f"--certificate and {option[0]} are both given" in err
    calibration = fm.Calibration.load(calibrated)
    for given, what in (({"calibration": calibration}, "a calibration"), ({"fmr": 0.1}, "an fmr of 0.1")):
        with pytest.raises(fm.ConfigError, match=f"a certificate and {what} are given"):
            fm.verify(model, read(first), read(second), certificate=certificate, **given)
    with pytest.raises(fm.ConfigError, match="promises nothing"):
        fm.verify(model, read(first), read(second), certificate=nothing)


def test_a_rate_is_doubted_or_refused(command, trained_run, calibrated, tmp_path):
    first, second, _ = write_faces(tmp_path, range(1, 2))
    arguments = "verify", trained_run, first, second, "--calibration", calibrated, "--fmr"
    code, out, err = command(*arguments, "0.005")
    assert code in (0, 1, 3) and len(out.splitlines()) == 3
    assert (
        "warning: FMR 0.005 is the rate of the 600 impostor pairs of orl:1-4; " in err and "facemargin certify" in err
    )
    code, out, err = command(*arguments, "1e-3")
    assert (code, out) == (2, "") and "an FMR of 0.001 cannot be measured with the 600 impostor pairs of orl:1-4" in err


def test_another_models_calibration_is_refused(command, calibrated, tmp_path):
    first, second, _ = write_faces(tmp_path, range(1, 2))
    model = write_crfiqa_model(tmp_path / "model.safetensors")
    code, out, err = command("verify", model, first, second, "--calibration", calibrated, "--fmr", "0.05")
    assert (code, out) == (2, "") and "this calibration belongs to another model" in err


def test_photographs_are_pointed_out_or_aligned(command, trained_run, tmp_path, caplog):
    first, second = write_photographs(tmp_path / "photos", range(1, 2))
    code, plain, err = command("verify", trained_run, first, second)
    assert (
        code == 0 and err.startswith("warning: 2 of 2 images were squashed to a square (") and "--detect finds" in err
    )
    assert caplog.text == ""  # said once
    code, out, err = command("verify", trained_run, first, second, "--detect")
    expected = fm.verify(fm.load(trained_run), fm.align(read(first)), fm.align(read(second)))
    assert (code, err) == (0, "") and out.startswith(f"score {expected.score:.4f}\n") and out != plain
    nobody = write_empty(tmp_path / "nobody.png")
    code, out, err = command("verify", trained_run, first, nobody, "--detect")
    assert (code, out) == (2, "") and f"{nobody}: no face was found" in err


@pytest.mark.parametrize("calibrate", [True, False])
def test_a_list_of_pairs(command, trained_run, calibrated, tmp_path, calibrate):
    paths = write_faces(tmp_path / "faces", range(1, 4))
    paths[3].write_bytes(b"garbage")
    names = [path.relative_to(tmp_path).as_posix() for path in paths]
    pairs = [(0, 1), (0, 6), (2, 3), (7, 8), (0, 0)]
    (tmp_path / "pairs.csv").write_text("\n".join(["path1,path2", *(f"{names[a]},{names[b]}" for a, b in pairs)]))
    options = ["--calibration", calibrated, "--fmr", "0.1"] if calibrate else []
    code, out, err = command(
        "verify", trained_run, "--pairs", tmp_path / "pairs.csv", "--output", tmp_path / "r.csv", *options
    )
    assert code == 0 and "5 pairs: " in out and "1 with an image that cannot be used" in out
    assert f"{paths[3]}: not an image" in err and "1 of 7 images" in err
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["path1"], row["path2"]) for row in rows] == [(names[a], names[b]) for a, b in pairs]
    model = fm.load(trained_run)
    calibration = fm.Calibration.load(calibrated) if calibrate else None
    for row, (a, b) in zip(rows, pairs, strict=True):
        if 3 in (a, b):
            assert row["problem"] and not row["score"] and not row["decision"]
            continue
        expected = fm.verify(model, read(paths[a]), read(paths[b]), calibration, 0.1)
        assert float(row["score"]) == pytest.approx(expected.score, abs=1e-4)
        assert float(row["quality2"]) == pytest.approx(expected.quality_b, rel=1e-3)
        assert (row["decision"], row["problem"]) == (expected.decision or "", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{run}"], "0 images given; expected two"),
        (["{run}", "{tmp}/a.jpg"], "1 image given; expected two"),
        (["{run}", "{tmp}/a.jpg", "{tmp}/none.jpg"], "none.jpg: cannot be read"),
        (["{run}", "{tmp}/a.jpg", "{tmp}/bad.png"], "bad.png: not an image"),
        (["{run}", "{tmp}/a.jpg", "{tmp}/a.jpg", "--output", "{tmp}/r.csv"], "--output needs --pairs"),
        (["{run}", "{tmp}/a.jpg", "--pairs", "{tmp}/p.csv", "--output", "{tmp}/r.csv"], "not both"),
        (["{run}", "--pairs", "{tmp}/p.csv"], "--output is missing, expected a name that ends in .csv"),
        (["{run}", "--pairs", "{tmp}/p.csv", "--output", "{tmp}/r.txt"], "ends in .csv"),
        (["{run}", "--pairs", "{tmp}/p.csv", "--output", "{tmp}/p.csv"], "p.csv would be replaced by the output"),
        (["{run}", "--pairs", "{tmp}/none.csv", "--output", "{tmp}/r.csv"], "none.csv cannot be read as pairs"),
        (["{run}", "--pairs", "{tmp}", "--output", "{tmp}/r.csv"], "Is a directory; expected a .csv file"),
        (["{run}", "--pairs", "{tmp}/p.csv", "--output", "{tmp}/r.csv", "--batch-size", "0"], "--batch-size is 0"),
        (["{run}", "--pairs", "{tmp}/p.csv", "--output", "{tmp}/r.csv"], "none of the 2 images"),
        (["{run}", "{tmp}/a.jpg", "{tmp}/a.jpg", "--calibration", "{tmp}/bad.png"], "cannot be read as a calibration"),
        (["{run}", "{tmp}/a.jpg", "{tmp}/a.jpg", "--calibration", "{calibrated}", "--fmr", "2"], "the FMR is 2"),
        (["{tmp}", "{tmp}/a.jpg", "{tmp}/a.jpg"], "there is no model file"),
    ],
)
def test_mistakes_end_with_one_clear_line(command, trained_run, calibrated, tmp_path, arguments, message):
    (face,) = write_faces(tmp_path / "faces", range(1, 2), each=1)
    face.rename(tmp_path / "a.jpg")
    (tmp_path / "bad.png").write_bytes(b"garbage")
    (tmp_path / "p.csv").write_text("x.jpg,y.jpg\n")
    words = (word.format(run=trained_run, tmp=tmp_path, calibrated=calibrated) for word in arguments)
    code, out, err = command("verify", *words)
    assert code == 2
    assert message in out + err
    assert not list(tmp_path.glob("r.*"))


@pytest.mark.skipif(not is_here(RELEASED["sface"]), reason="SFace is not here: facemargin models get sface")
def test_verify_by_name_decides_at_once_and_says_on_whom(command, tmp_path):
    """The faces are of the ORL set, framed otherwise than in training: they are told apart, but may be too poor."""
    first, second, *_ = write_faces(tmp_path / "one", range(1, 2))
    other, *_ = write_faces(tmp_path / "two", range(2, 3))
    scores = []
    for face in (second, other):
        code, out, err = command("verify", "sface", first, face)
        decision = out.splitlines()[-1]
        assert {"same": 0, "different": 1, "too poor to decide": 3}[decision] == code
        assert "note: the thresholds were measured on LFW" in err and "facemargin calibrate" in err
        assert "same from 0.3653 on (FMR 0.001" in out
        scores.append(float(out.split()[1].rstrip(",")))
    assert scores[0] > scores[1] + 0.05 and decision != "same"
