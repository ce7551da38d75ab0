"""Tables and sentences say what the metrics say, whichever way it falls."""

import numpy as np
import pytest

from facemargin.errors import DataError
from facemargin.evaluation import PairScores, summarize
from facemargin.evaluation.number_format import NOT_AVAILABLE
from facemargin.report import DatasetEvaluation, Validation
from facemargin.report.comparison import comparison_table, discard_table
from facemargin.report.evaluation_section import evaluation_section
from facemargin.report.style import line_styles
from facemargin.report.training_section import training_figures, validation_figures
from tests.report.report_runs import FEW_RESAMPLES, metrics_columns, pair_scores


def section_of(*systems):
    styles = line_styles(system.system for system in systems)
    return evaluation_section(DatasetEvaluation("people", list(systems)), 1, styles, FEW_RESAMPLES)


def test_the_table_holds_the_summaries_numbers_and_marks_the_best():
    model, other = pair_scores("facemargin", separation=4), pair_scores("PCA", separation=0.5, seed=3)
    summaries = [summarize(system, bootstrap=FEW_RESAMPLES) for system in (model, other)]
    table = comparison_table(summaries)
    headings = [heading.replace("\u00a0", " ") for heading in table.headings]
    assert headings == [
        "Best balanced accuracy", "EER", "AUC", "TAR at FAR 10%", "TAR at FAR 1%", "TAR at FAR 0.1%",
    ]  # fmt: skip
    for summary, (system, cells) in zip(summaries, table.rows, strict=True):
        assert system == summary.system
        points = {point.target_far: point for point in summary.tar_at_far.points}
        expected = [
            f"{100 * summary.balanced_accuracy.value:.1f}%",
            f"{100 * summary.roc.eer:.1f}%",
            f"{summary.roc.auc:.4f}",
            *(f"{100 * points[far].tar:.1f}%" for far in (0.1, 0.01, 0.001)),
        ]
        assert [cell.value for cell in cells] == expected
        low, high = points[0.1].interval
        assert cells[3].interval == f"{100 * low:.1f}–{100 * high:.1f}%"
    # of 540 impostor pairs none may be accepted at 0.1%: whoever is best there is not known
    assert [cell.best for cell in table.rows[0][1]] == [True] * 5 + [False]
    assert [cell.best for cell in table.rows[1][1]] == [False] * 6


def test_equal_numbers_are_both_best_and_a_single_row_has_no_best():
    first, second = pair_scores("facemargin"), pair_scores("twin")
    rows = comparison_table([summarize(system, bootstrap=None) for system in (first, second)]).rows
    assert all(cell.best for _, cells in rows for cell in cells[:-1])
    assert not any(cells[-1].best for _, cells in rows)
    ((_, cells),) = comparison_table([summarize(first, bootstrap=None)]).rows
    assert not any(cell.best or cell.interval for cell in cells)


def test_fold_accuracy_has_a_column_where_any_system_has_folds():
    summaries = [summarize(pair_scores("a", folds=True), bootstrap=None), summarize(pair_scores("b"), bootstrap=None)]
    table = comparison_table(summaries)
    assert table.headings[0] == "Accuracy over folds"
    assert table.rows[0][1][0].value == f"{100 * summaries[0].accuracy.mean:.1f}%"
    assert table.rows[1][1][0].value == NOT_AVAILABLE


def test_the_discard_table_follows_the_curve():
    summary = summarize(pair_scores(quality=True), bootstrap=FEW_RESAMPLES)
    curve = summary.error_versus_discard
    ((_, cells),) = discard_table([summary]).rows
    assert [cell.value for cell in cells[:4]] == [
        f"{100 * fnmr:.1f}%" for fnmr in (curve.fnmr_T[0], *(limit.fnmr for limit in curve.limits))
    ]
    assert cells[4].value == f"{curve.limits[-1].relative_to_start:.3f}"


def test_a_system_without_errors_has_no_relative_area():
    scores = pair_scores(separation=200, quality=True)
    ((_, cells),) = discard_table([summarize(scores, bootstrap=FEW_RESAMPLES)]).rows
    assert [cell.value for cell in cells] == ["0.0%"] * 4 + [NOT_AVAILABLE]


def quality_scores(error_quality):
    """Ten genuine pairs, three of them below the impostors; these have quality `error_quality`, the others 5."""
    genuine = np.array([-5.0] * 3 + [5.0] * 7)
    scores_K = np.append(genuine, np.zeros(100))
    quality_K = np.append(np.where(genuine < 0, error_quality, 5.0 + np.arange(10) / 100), np.full(100, 5.0))
    return PairScores("facemargin", "few", scores_K, np.arange(110) < 10, quality_K, quality_K)


@pytest.mark.parametrize(
    ("error_quality", "said"),
    [
        # two of ten pairs go: (3 − 2)/8 when they are errors, 3/8 when they are not; all go at once or none
        (np.array([1, 2, 3.0, *[0] * 7]), "lowers its false non-match rate from 30.0% to 12.5%"),
        (9.0, "raises its false non-match rate from 30.0% to 37.5%"),
        (1.0, "leaves its false non-match rate at 30.0%"),
    ],
)
def test_the_sentence_about_quality_says_which_way_it_fell(error_quality, said):
    (sentence,) = section_of(quality_scores(error_quality)).discard_sentences
    assert f"discarding the 20% of genuine pairs with the lowest quality {said}" in sentence


def test_without_qualities_nothing_is_said_about_them():
    section = section_of(pair_scores())
    assert section.discard_table is None
    assert section.discard_sentences == []
    assert [block.title for block in section.figures] == ["ROC", "DET", "Score distributions"]


def test_captions_and_headline_count_the_pairs():
    section = section_of(pair_scores("facemargin", quality=True), pair_scores("PCA", seed=1))
    for block in section.figures:
        assert "90 genuine and 540 impostor pairs" in block.caption
    assert "The test has 90 genuine and 540 impostor pairs." in section.headline
    tars = [summarize(pair_scores("x", quality=quality, seed=seed), bootstrap=None).tar_at_far.tar[0.01]
            for quality, seed in ((True, 0), (False, 1))]  # fmt: skip
    assert f"facemargin accepts {tars[0]:.1%} of the genuine pairs (PCA {tars[1]:.1%})" in section.headline


def test_systems_on_different_pairs_are_said_to_be():
    section = section_of(pair_scores("facemargin"), pair_scores("PCA", people=5))
    assert "depending on the system" in section.headline


def test_rates_that_rest_on_few_impostors_are_called_uncertain():
    notes = section_of(pair_scores()).notes
    assert any(
        "0.1%" in note and "rests on no accepted impostor pair, because 540 impostor pairs are too few" in note
        for note in notes
    )
    assert any("1% rests on 5 wrongly accepted impostor pairs at most" in note for note in notes)
    assert not any("10%" in note for note in notes)


def test_figures_without_a_range_say_why():
    two = section_of(pair_scores("facemargin", people=2), pair_scores("PCA", people=2, seed=1))
    assert not any(cell.interval for _, cells in two.table.rows for cell in cells)
    assert "There are 2 people, which is too few for intervals: every resample of them has the same pairs." in two.notes
    assert not any("Ranges are" in note for note in two.notes)
    perfect = section_of(pair_scores("facemargin", separation=200))
    assert any("the same value in all resamples" in note for note in perfect.notes)
    assert not any("too few for intervals" in note for note in section_of(pair_scores()).notes)


def test_scores_that_no_metric_takes_are_named():
    broken = pair_scores()
    broken.scores_K[7] = np.nan
    with pytest.raises(DataError, match=r"data set 'people', system 'facemargin': .*not finite"):
        section_of(broken)


def columns(**changes):
    return {name: np.asarray(values, dtype=float) for name, values in (metrics_columns() | changes).items()}


def test_training_figures_are_those_that_have_something_to_show():
    titles = [block.title for block in training_figures(columns())]
    assert titles == [
        "Training loss", "Learning rate", "Cosine to the own centre", "Feature norm", "Margin scaler",
        "Certainty ratio",
    ]  # fmt: skip
    constant = columns(margin_scaler=np.ones(80), certainty_ratio=np.full(80, np.nan), learning_rate=np.full(80, 0.1))
    assert [block.title for block in training_figures(constant)] == titles[:4]
    assert training_figures({}) == []
    assert training_figures({"step": np.zeros(0), "loss": np.zeros(0)}) == []
    assert training_figures({"step": np.ones(1), "loss": np.full(1, np.nan)}) == []


@pytest.mark.parametrize(("highest", "scale"), [(5.0, "linear"), (1e5, "log")])
def test_a_certainty_ratio_that_explodes_gets_a_log_axis(highest, scale):
    blocks = training_figures(columns(certainty_ratio=np.linspace(0.5, highest, 80)))
    assert blocks[-1].title == "Certainty ratio"
    assert blocks[-1].figure.axes[0].get_yscale() == scale


def test_loss_parts_are_drawn_with_the_loss():
    loss = training_figures(columns())[0]
    assert [text.get_text() for text in loss.figure.legends[0].get_texts()] == [
        "loss",
        "classification",
        "norm regulariser",
    ]
    alone = training_figures({name: columns()[name] for name in ("step", "loss", "learning_rate")})[0]
    assert alone.figure.legends == []


def test_each_validation_set_has_a_figure_of_what_was_measured():
    rows = {
        "step": [1, 1, 2, 2],
        "epoch": [1, 1, 2, 2],
        "accuracy": [np.nan] * 4,
        "tar_at_far_0.01": [0.1, 0.2, 0.3, 0.4],
    }
    first, second = validation_figures(
        Validation(["a", "b", "a", "b"], {name: np.array(values, dtype=float) for name, values in rows.items()})
    )
    assert (first.title, second.title) == ("Validation on a", "Validation on b")
    assert second.figure.axes[0].lines[0].get_ydata().tolist() == [0.2, 0.4]
    assert validation_figures(None) == []
