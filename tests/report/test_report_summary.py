"""The three sentences at the top say what was measured and no more than the intervals support."""

import json
from dataclasses import replace

import numpy as np
import pytest

from facemargin.errors import DataError
from facemargin.evaluation import Bootstrap, summarize
from facemargin.evaluation.origin import Making, Origin, note_origin
from facemargin.report import DatasetEvaluation, ReportContent, load_run
from facemargin.report.blocks import Notes, TableBlock
from facemargin.report.document import report_document
from facemargin.report.protocol_scores import ProtocolScores
from tests.report.report_runs import FEW_RESAMPLES, metrics_columns, pair_scores, quality_check

MORE_RESAMPLES = Bootstrap(resamples=200)


def sentences(*systems, bootstrap=FEW_RESAMPLES, **content):
    evaluations = [DatasetEvaluation("people", list(systems))] if systems else []
    summary = report_document(ReportContent("x", evaluations=evaluations, **content), bootstrap).summary
    return [sentence.replace("\u00a0", " ") for sentence in summary]


def test_one_system_is_said_with_its_interval_and_what_limits_it():
    scores = pair_scores()
    point = summarize(scores, bootstrap=FEW_RESAMPLES).tar_at_far.points[1]
    measured, main, careful = sentences(scores)
    assert measured == "facemargin was measured on people: 90 genuine and 540 impostor pairs of 6 people."
    low, high = point.interval
    assert main == (
        f"At FAR 1% the share of genuine pairs accepted is: facemargin {point.tar:.1%} (95% interval {low:.1%} to "
        f"{high:.1%})."
    )
    assert "rests on 5 wrongly accepted impostor pairs; with 6 people the intervals are too narrow" in careful


def test_a_difference_is_claimed_only_where_it_is_shown():
    good, bad = pair_scores("good", people=12, separation=5), pair_scores("bad", people=12, separation=0.2)
    assert (
        "between good and bad this is more than other people would explain"
        in sentences(good, bad, bootstrap=MORE_RESAMPLES)[1]
    )
    twin = replace(
        good, system="twin", scores_K=good.scores_K + np.random.default_rng(5).normal(0, 0.3, len(good.same_K))
    )
    main = sentences(good, twin, bootstrap=MORE_RESAMPLES)[1]
    assert "between good and twin no difference is shown" in main and "more than" not in main
    unknown = replace(bad, identities_a_K=None, identities_b_K=None)
    measured, main, careful = sentences(good, unknown)
    assert "good and bad were compared on people" in measured
    assert "between" not in main
    assert "whether the systems differ could not be tested" in careful


def test_what_is_not_known_is_said():
    scores = pair_scores(identities=False)
    _, main, careful = sentences(scores)
    assert "interval" not in main
    assert "no intervals, because it is not known which people the pairs show" in careful
    assert "no intervals were computed" in sentences(pair_scores(), bootstrap=None)[2]
    assert "2 people are too few for intervals" in sentences(pair_scores(people=2))[2]
    checked = sentences(pair_scores(quality=True), quality_check=quality_check(helps=False))[2]
    assert "the quality is not shown to help" in checked
    many = sentences(pair_scores(people=45, images=4))[2]
    assert "too narrow" not in many and many.startswith("Be careful: other people and cameras")


def test_baselines_are_counted_apart():
    measured, main, _ = sentences(pair_scores(), pair_scores("PCA", seed=1), pair_scores("raw pixels", seed=2))
    assert "of 6 people, beside 2 baselines that learnt nothing of faces." in measured
    assert "PCA" not in main


def test_protocols_and_trainings_have_their_sentences_too():
    figures = [("TAR at FAR 1e-6", np.nan, "no impostor"), ("rank 1", 0.75, "40 probes")]
    scores = ProtocolScores("ijbc", "mine", "", figures, [], [])
    measured, main, careful = sentences(protocols=[[scores]])
    assert measured == "mine was measured by the protocol ijbc."
    assert main == "rank 1: mine 75.00% (40 probes)."
    assert "no intervals" in careful
    trained, *_ = sentences(
        metrics={name: np.asarray(values, dtype=float) for name, values in metrics_columns().items()},
        recipe="epochs: 3\nhead:\n  scale: 64\n  name: funface\nname: other\n",
    )
    assert trained == "A model was trained with the loss funface, with 80 logged steps."
    assert sentences(recipe="epochs: 3\n") == []


def test_the_sentences_of_a_folder_come_first():
    assert sentences(pair_scores(), summary=["Its own."]) == ["Its own."]


@pytest.fixture
def evaluated(tmp_path):
    place = tmp_path / "evaluation" / "people"
    place.mkdir(parents=True)
    for name in ("mine", "old"):
        pair_scores(name).save(place / f"{name}.npz")
    systems = {"mine": Origin("/home/ann/mine.safetensors", "0123456789ab"), "old": Origin("old.npz", "ba9876543210")}
    systems["failed"] = Origin("failed", "a run of a comparison")  # it has no scores
    making = {"mine": Making("funface", "2026-11-27 10:00 UTC", "facemargin evaluate mine", "facemargin 1, torch 2")}
    note_origin(place, Origin("lfw", "aaaabbbbcccc"), systems, making)
    return tmp_path


def test_a_report_names_model_loss_data_date_command_and_versions(evaluated):
    document = report_document(load_run(evaluated), FEW_RESAMPLES)
    assert document.subtitle == "facemargin report, 2026-11-27 10:00 UTC"
    (section,) = [section for section in document.sections if section.anchor == "origin"]
    data, systems, notes = section.blocks
    assert isinstance(data, TableBlock) and isinstance(systems, TableBlock) and isinstance(notes, Notes)
    assert [(name, cells[0].value) for name, cells in data.table.rows] == [("lfw", "aaaabbbbcccc")]
    assert [(name, *(cell.value for cell in cells)) for name, cells in systems.table.rows] == [
        ("mine", "mine.safetensors", "funface", "0123456789ab", "2026-11-27 10:00 UTC", "facemargin 1, torch 2"),
        ("old", "old.npz", "not recorded", "ba9876543210", "not recorded", "not recorded"),
    ]
    assert notes.items == [
        "Left out: failed has no scores on lfw: it failed, or its file was deleted.",
        "Command: facemargin evaluate mine",
    ]


def test_figures_that_are_made_again_are_said_to_be_of_the_later_day(evaluated):
    place = evaluated / "evaluation" / "people"
    again = Making("funface", "2026-11-28 10:00 UTC", "facemargin evaluate mine", "facemargin 2, torch 2")
    note_origin(place, Origin("lfw", "aaaabbbbcccc"), {"mine": Origin("mine", "0123456789ab")}, {"mine": again})
    (origin,) = load_run(evaluated).origins
    assert origin.making["mine"] == again
    assert set(origin.systems) == {"mine", "old"}


@pytest.mark.parametrize("damaged", [{"mine": {"loss": 3}}, {"mine": {"other": "x"}}, ["mine"], {"mine": "x"}])
def test_a_damaged_making_is_named(evaluated, damaged):
    path = evaluated / "evaluation" / "people" / "origin.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"making": damaged}))
    with pytest.raises(DataError, match=r"origin\.json does not say how the figures in its folder were made"):
        load_run(evaluated)
