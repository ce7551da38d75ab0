"""A recording's files: written in the background, read back whole, whatever was damaged or is missing named."""

import json
import logging

import numpy as np
import pyarrow.parquet as pq
import pytest

import facemargin as fm
from facemargin.errors import ConfigError, DataError, OutputError
from facemargin.recording import writer as writer_module
from facemargin.recording.columns import COLUMNS, NO_CLASS, NUMBERS, drop_visits_after, visits_files
from facemargin.recording.writer import RecordingWriter, write_samples

LABELS = np.array([0, 0, 1, 2, 1], dtype=np.int64)


def visits(seed: int, rows: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        "sample": generator.integers(0, 5, rows),
        **{name: generator.normal(size=rows).astype(np.float32) for name in NUMBERS},
        "hardest_class": generator.integers(0, 3, rows).astype(np.uint32),
    }


def write(run, precision="float32", intervals=((1, 2, 3), (4, 5)), processes=1, rows=7, first=0):
    """A recording of so many steps a file; what was added, by column, in the order of the steps and processes."""
    folder = run / "recording"
    added = {name: [] for name in COLUMNS}
    for process in range(processes):
        writer = RecordingWriter(folder, first, precision, {"processes": processes, "margin": "funface"}, process)
        for steps in intervals:
            for step in steps:
                writer.add(step, visits(step * 10 + process, rows + process))
            assert writer.close_file(steps[-1]) is None
        writer.finish(steps[-1], keep=True)
    for step in [step for steps in intervals for step in steps]:
        for process in range(processes):
            columns = {**visits(step * 10 + process, rows + process), "step": np.full(rows + process, step)}
            for name in COLUMNS:
                added[name].append(columns[name])
    write_samples(folder, LABELS, ["Ann", "Bob", "Zoë"])
    return {name: np.concatenate(parts) for name, parts in added.items()}


@pytest.mark.parametrize("group_rows", [3, 7, 1000])
@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_what_is_added_is_read_in_order(tmp_path, monkeypatch, precision, processes, group_rows):
    monkeypatch.setattr(writer_module, "GROUP_ROWS", group_rows)
    added = write(tmp_path, precision, processes=processes)
    recording = fm.load_recording(tmp_path)
    assert len(recording) == len(added["step"]) and recording.missing_steps == []
    for name in COLUMNS:
        assert recording[name].dtype == (precision if name in NUMBERS else "uint32")
        assert np.array_equal(recording[name], added[name].astype(recording[name].dtype))
    assert recording.labels.tolist() == LABELS.tolist() and recording.identity_names == ["Ann", "Bob", "Zoë"]
    assert recording.about["margin"] == "funface" and recording.about["first_step"] == 1
    assert not list((tmp_path / "recording").glob(".*"))


def test_a_visit_takes_20_bytes_before_compression(tmp_path):
    sizes = {}
    for precision in ("float16", "float32"):
        run = tmp_path / precision
        write(run, precision)
        schema = pq.read_schema(next(iter(visits_files(run / "recording").values())))
        sizes[precision] = sum(field.type.bit_width for field in schema) / 8
    assert sizes == {"float16": 20, "float32": 28}


def test_only_the_columns_that_are_asked_for(tmp_path):
    added = write(tmp_path, processes=2)
    recording = fm.load_recording(tmp_path, columns=["target_cosine", "sample"])
    assert list(recording.columns) == ["target_cosine", "sample"]
    assert np.array_equal(recording["target_cosine"], added["target_cosine"])
    with pytest.raises(ConfigError, match="unknown column 'step'"):
        recording["step"]
    with pytest.raises(ConfigError, match=r"unknown column 'target_cosin'; did you mean 'target_cosine'\?"):
        fm.load_recording(tmp_path, columns=["target_cosin"])
    with pytest.raises(ConfigError, match="columns is empty, expected some of sample, step"):
        fm.load_recording(tmp_path, columns=[])


def test_values_beyond_half_precision_are_infinite_and_no_class_stays_none(tmp_path):
    writer = RecordingWriter(tmp_path / "recording", 0, "float16", {"processes": 1})
    columns = visits(0, 2)
    columns["feature_norm"][:] = [7e4, 3]
    columns["hardest_class"][:] = np.array([-1, 1], dtype=np.int32).view(np.uint32)
    writer.add(1, columns)
    writer.close_file(1)
    writer.finish(1, keep=False)
    write_samples(tmp_path / "recording", LABELS, ["Ann", "Bob", "Zoë"])
    recording = fm.load_recording(tmp_path)
    assert recording["feature_norm"].tolist() == [np.inf, 3]
    assert recording["hardest_class"].tolist() == [NO_CLASS, 1]


def test_what_is_not_closed_leaves_no_file_unless_it_is_kept(tmp_path):
    for keep in (False, True):
        folder = tmp_path / str(keep) / "recording"
        writer = RecordingWriter(folder, 0, "float16", {"processes": 1})
        writer.add(1, visits(0, 3))
        writer.finish(1, keep)
        assert len(list(folder.iterdir())) == keep


def test_steps_that_were_not_recorded_are_named(tmp_path, caplog):
    write(tmp_path, intervals=((1, 2), (3, 4)))
    write(tmp_path, intervals=((9, 10),), first=8)
    with caplog.at_level(logging.WARNING):
        recording = fm.load_recording(tmp_path)
    assert recording.missing_steps == [(5, 8)] and set(recording["step"]) == {1, 2, 3, 4, 9, 10}
    assert f"the recording of {tmp_path} lacks steps 5 to 8" in caplog.text


def test_steps_after_a_checkpoint_are_dropped(tmp_path):
    write(tmp_path, intervals=((1, 2), (3, 4), (5,)), processes=2)
    drop_visits_after(tmp_path / "recording", 2)
    assert set(fm.load_recording(tmp_path)["step"]) == {1, 2}
    drop_visits_after(tmp_path / "nowhere", 2)


def test_a_missing_file_and_a_strange_one_are_named(tmp_path):
    with pytest.raises(DataError, match=r"holds no recording: train with --recorder True"):
        fm.load_recording(tmp_path)
    write(tmp_path, processes=2)
    first, second = [path for (step, _), path in visits_files(tmp_path / "recording").items() if step == 3]
    content = second.read_bytes()
    second.unlink()
    with pytest.raises(
        DataError, match=r"steps up to 3 were recorded by 2 processes, expected a file of each, found 1"
    ):
        fm.load_recording(tmp_path)
    second.write_bytes(content[:-200])
    with pytest.raises(DataError, match=rf"{second.name} is damaged"):
        fm.load_recording(tmp_path)
    table = pq.read_table(first)
    pq.write_table(table.replace_schema_metadata(None), second)
    with pytest.raises(DataError, match=rf"{second.name} does not say what it is"):
        fm.load_recording(tmp_path)
    about = {"format": 2, "first_step": 1, "last_step": 3, "process": 1, "processes": 2}
    pq.write_table(table.replace_schema_metadata({"facemargin": json.dumps(about)}), second)
    with pytest.raises(DataError, match="has format 2, expected 1"):
        fm.load_recording(tmp_path)
    pq.write_table(
        table.drop_columns("step").replace_schema_metadata({"facemargin": json.dumps({**about, "format": 1})}), second
    )
    with pytest.raises(DataError, match=rf"{second.name} has no column step of type uint32"):
        fm.load_recording(tmp_path)


def test_files_of_two_runs_are_not_mixed(tmp_path):
    write(tmp_path, intervals=((1, 2, 3),))
    write(tmp_path, intervals=((2, 3, 4),), first=1)
    with pytest.raises(DataError, match="steps 2 to 3 are in two files, of which one belongs to another run"):
        fm.load_recording(tmp_path)


def test_a_folder_that_cannot_be_written_to_is_named_at_once(tmp_path):
    (tmp_path / "recording").write_text("a file")
    with pytest.raises(OutputError, match=r"cannot write the recording in .*recording: "):
        RecordingWriter(tmp_path / "recording", 0, "float16")


def test_duckdb_and_pandas_open_it(tmp_path):
    duckdb, pandas = pytest.importorskip("duckdb"), pytest.importorskip("pandas")
    added = write(tmp_path, "float16", processes=2)
    found = duckdb.sql(
        f"select person, count(*), avg(target_cosine) from '{tmp_path}/recording/visits_*.parquet' "
        f"join '{tmp_path}/recording/samples.parquet' using (sample) group by person order by person"
    ).fetchall()
    halves = added["target_cosine"].astype(np.float16).astype(float)
    for (person, count, mean), (label, name) in zip(found, enumerate(["Ann", "Bob", "Zoë"]), strict=True):
        own = LABELS[added["sample"]] == label
        assert (person, count) == (name, own.sum()) and mean == pytest.approx(halves[own].mean(), rel=1e-6)
    frame = pandas.read_parquet(tmp_path / "recording" / "visits_00000003_0000.parquet")
    assert list(frame.columns) == list(COLUMNS) and frame["target_cosine"].dtype == "float16"
