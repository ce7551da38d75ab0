"""From raw photographs to decisions, with nothing but the commands: align, pairs, calibrate, verify."""

import csv
from dataclasses import replace
from itertools import combinations

import pytest

import facemargin as fm
from tests.commands.photo_folder import write_empty, write_photographs


@pytest.mark.slow
def test_from_photographs_to_decisions(command, trained_run, tmp_path):
    photos, aligned = tmp_path / "photos", tmp_path / "aligned"
    paths = write_photographs(photos, range(1, 5), each=3)
    write_empty(photos / "s1" / "nobody.png")

    code, out, err = command("align", photos, "--output", aligned)
    assert code == 0 and "12 faces aligned" in out and "1 of 13 images cannot be read or show no face" in err

    code, _, err = command("embed", trained_run, photos, "--output", tmp_path / "e.npz", "--detect")
    assert code == 0 and "1 of 13 images cannot be read or show no face" in err

    names = [path.relative_to(photos).as_posix() for path in paths]
    pairs = list(combinations(names, 2))
    labeled = [f"{a},{b},{int(a.split('/')[0] == b.split('/')[0])}" for a, b in pairs]
    (aligned / "labeled.csv").write_text("\n".join(["path1,path2,same", *labeled]))
    calibration = tmp_path / "calibration.json"
    code, out, _ = command(
        "calibrate",
        trained_run,
        "--pairs",
        aligned / "labeled.csv",
        "--output",
        calibration,
        "--floor-percentile",
        "0",
    )
    assert code == 0 and "54 impostor and 12 genuine pairs" in out

    (photos / "pairs.csv").write_text("\n".join(f"{a},{b}" for a, b in pairs))
    options = "--calibration", calibration, "--fmr", "0.2", "--detect"
    results = tmp_path / "results.csv"
    code, out, err = command("verify", trained_run, "--pairs", photos / "pairs.csv", "--output", results, *options)
    assert code == 0 and "0 with an image that cannot be used" in out
    assert err.startswith("warning: FMR 0.2 is the rate of the 54 impostor pairs") and err.count("\n") == 1
    assert "the calibration does not say who is in its images" in err
    with results.open(newline="") as file:
        rows = list(csv.DictReader(file))
    different = [row for row, line in zip(rows, labeled, strict=True) if line.endswith("0")]
    genuine = [row for row, line in zip(rows, labeled, strict=True) if line.endswith("1")]
    # The photographs are those that it was calibrated on.
    assert sum(row["decision"] == "same" for row in different) / 54 <= 0.2 + 1 / 54
    matched = sum(row["decision"] == "same" for row in genuine) / 12
    assert matched == pytest.approx(1 - fm.Calibration.load(calibration).at(0.2).fnmr, abs=0.1) and matched > 0.4

    one = next(row for row in rows if row["decision"] == "same")
    code, out, _ = command("verify", trained_run, photos / one["path1"], photos / one["path2"], *options)
    assert code == 0 and out.startswith(f"score {float(one['score']):.4f}") and out.endswith("same\n")

    code, _, _ = command(
        "calibrate", trained_run, "--images", photos, "--detect", "--output", tmp_path / "detected.json"
    )
    detected = fm.Calibration.load(tmp_path / "detected.json")
    assert code == 0 and detected.detector == "centerface"
    assert detected.detector_settings == {"min_score": 0.5, "longest_side": 1280}
    two = photos / one["path1"], photos / one["path2"], "--fmr", "0.2", "--detect"
    _, _, err = command("verify", trained_run, *two, "--calibration", tmp_path / "detected.json")
    assert "found" not in err
    _, _, err = command("verify", trained_run, *two[:-1], "--calibration", tmp_path / "detected.json")
    assert "faces that centerface found in photographs, but these images are used as they are" in err
    replace(detected, detector="toy").save(tmp_path / "toy.json")
    _, _, err = command("verify", trained_run, *two, "--calibration", tmp_path / "toy.json")
    assert "warning: the thresholds were measured on faces that toy found, but centerface finds these" in err
