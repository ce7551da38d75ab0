import math

import pytest

from facemargin.training.metrics_log import MetricsLog


def row(step, **more):
    return {"step": step, "loss": step / 3, "rate": 0.1, **more}


def write(path, *steps):
    log = MetricsLog(path, 0)
    for step in steps:
        log.write(row(step))
    return path


def test_rows_are_written_in_full_precision(tmp_path):
    log = MetricsLog(tmp_path / "metrics.csv", 0)
    log.write({"step": 1, "loss": 0.1 + 0.2, "rate": 1e-20, "name": 'a, "b"\nc'})
    log.write({"step": 2, "loss": math.inf, "rate": math.nan, "name": "é"})
    text = (tmp_path / "metrics.csv").read_text(encoding="utf-8")
    assert text == 'step,loss,rate,name\n1,0.30000000000000004,1e-20,"a, ""b""\nc"\n2,inf,nan,é\n'


def test_a_column_that_comes_later_is_empty_before(tmp_path):
    log = MetricsLog(tmp_path / "metrics.csv", 0)
    log.write({"step": 1, "loss": 2.0, "name": 'a, "b"\nc'})
    log.write({"step": 2, "other": 5, "loss": 3.0})
    log.write({"step": 3})
    text = 'step,other,loss,name\n1,,2.0,"a, ""b""\nc"\n2,5,3.0,\n3,,,\n'
    assert (tmp_path / "metrics.csv").read_text() == text
    MetricsLog(tmp_path / "metrics.csv", 2).write({"step": 3})  # a resumed run knows it
    assert (tmp_path / "metrics.csv").read_text() == text


@pytest.mark.parametrize("step", [1, 2, 3, 4, 9])
def test_a_resumed_run_continues_as_if_it_had_never_stopped(tmp_path, step):
    whole = write(tmp_path / "whole.csv", 1, 2, 3, 4).read_text()
    path = write(tmp_path / "metrics.csv", 1, 2, 3, 4)
    log = MetricsLog(path, step)
    for later in range(step + 1, 5):
        log.write(row(later))
    assert path.read_text() == whole


def test_a_half_written_last_row_is_cut_off(tmp_path):
    whole = write(tmp_path / "whole.csv", 1, 2, 3).read_text()
    lines = whole.splitlines(keepends=True)
    for cut in range(1, len(lines[3])):
        path = tmp_path / "metrics.csv"
        path.write_text("".join(lines[:3]) + lines[3][:cut])
        log = MetricsLog(path, 2)
        assert path.read_text() == "".join(lines[:3])
        log.write(row(3))
        assert path.read_text() == whole


def test_a_half_written_header_is_written_again(tmp_path):
    whole = write(tmp_path / "whole.csv", 1).read_text()
    for cut in range(len(whole)):
        path = tmp_path / "metrics.csv"
        path.write_text(whole[:cut])
        MetricsLog(path, 0).write(row(1))
        assert path.read_text() == whole, cut


def test_columns_are_kept_after_resuming(tmp_path):
    path = write(tmp_path / "metrics.csv", 1, 2)
    MetricsLog(path, 2).write({"rate": 5, "new": 1, "step": 3})
    assert path.read_text().splitlines()[0] == "step,loss,rate,new"
    assert path.read_text().splitlines()[-1] == "3,,5,1"
    assert path.read_text().count("step") == 1


def test_several_rows_a_step_are_kept_together(tmp_path):
    path = tmp_path / "validation.csv"
    log = MetricsLog(path, 0)
    for step in (5, 10):
        for dataset in ("a", "b,c"):
            log.write({"step": step, "dataset": dataset})
    MetricsLog(path, 5)
    assert path.read_text() == 'step,dataset\n5,a\n5,"b,c"\n'
