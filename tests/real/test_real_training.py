"""The recipe for thousands of faces on a CPU, cut down to seconds, on real training and verification sets."""

import csv

import pytest

from tests.processes import run_program


@pytest.mark.slow
@pytest.mark.long
def test_a_recordio_set_trains_and_scores_on_a_bin(shared_data, tmp_path):
    command = ["-m", "facemargin", "train", "small_cpu", "--output", tmp_path / "run"]
    command += ["--data.train", str(shared_data / "data" / "train")]
    command += ["--validation.data", str(shared_data / "data" / "lfw" / "lfw_fold1.bin")]
    command += ["--epochs", "3", "--backbone.input-size", "32", "--backbone.width", "8", "--threads", "1"]
    code, out, err = run_program(*command)
    assert code == 0, err
    assert "0 pairs of identical images" in out
    with (tmp_path / "run" / "validation.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    # 195 people and a minute of a tiny network: far from good, and as far from chance.
    assert float(row["accuracy"]) > 0.55
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        losses = [float(step["loss"]) for step in csv.DictReader(file)]
    assert losses[-1] < 0.8 * losses[0]
