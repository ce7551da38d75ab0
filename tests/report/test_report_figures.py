"""What the figures draw is what the metrics say, whatever the scores and the names."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facemargin.evaluation import PairScores, summarize
from facemargin.evaluation.number_format import measured_rate
from facemargin.report.discard_figures import discard_figure
from facemargin.report.error_rate_figures import det_figure, roc_figure, roc_points
from facemargin.report.score_figures import score_figure
from facemargin.report.style import line_styles
from facemargin.report.svg import figure_svg
from facemargin.report.training_figures import step_figure
from facemargin.report.wording import far_text, listed, percent
from tests.report.report_runs import metrics_columns, pair_scores


def scores_of(genuine, impostor, system="facemargin"):
    scores_K = np.array([*genuine, *impostor], dtype=np.float64)
    return PairScores(system, "few", scores_K, np.arange(len(scores_K)) < len(genuine))


def summary_of(scores):
    return summarize(scores, bootstrap=None)


def true_accept_rate(scores, far):
    """The highest TAR of any threshold that keeps the FAR at no more than `far`, by trying them all."""
    tars = [0.0]
    for threshold in scores.scores_K:
        if np.mean(scores.scores_K[~scores.same_K] >= threshold) <= far * (1 + 1e-12):
            tars.append(np.mean(scores.scores_K[scores.same_K] >= threshold))
    return max(tars)


def test_the_roc_shows_the_tar_of_every_far_from_the_smallest():
    scores = pair_scores(people=5, images=5)
    (axes,) = roc_figure([summary_of(scores)], line_styles(["facemargin"])).axes
    far_T, tar_T = axes.lines[0].get_data()
    impostors = int((~scores.same_K).sum())
    assert far_T[0] == pytest.approx(1 / impostors)
    assert (far_T[-1], tar_T[-1]) == (1, 1)
    for accepted in range(1, impostors + 1):
        far = accepted / impostors
        drawn = tar_T[np.flatnonzero(far_T <= far * (1 + 1e-12))[-1]]
        assert drawn == pytest.approx(true_accept_rate(scores, far))


def test_the_det_is_one_minus_the_roc_with_zero_at_the_bottom():
    scores = pair_scores(people=5, images=5)
    summary = summary_of(scores)
    (axes,) = det_figure([summary], line_styles(["facemargin"])).axes
    far_T, fnmr_T = axes.lines[0].get_data()
    _, tar_T = roc_points(summary.roc, far_T[0])
    bottom = axes.get_yticks()[0]
    assert axes.get_yticklabels()[0].get_text() == "0"
    assert axes.get_ylim()[0] < bottom < 1 / summary.genuine
    for fnmr, tar in zip(fnmr_T, tar_T, strict=True):
        assert fnmr == pytest.approx(1 - tar if tar < 1 else bottom)


FINITE = st.floats(-100, 100).map(lambda score: round(score, 1))


@settings(max_examples=6, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=12), st.lists(FINITE, min_size=1, max_size=30))
def test_any_scores_make_curves_inside_the_axes(genuine, impostor):
    scores = scores_of(genuine, impostor)
    styles = line_styles(["facemargin"])
    summary = summary_of(scores)
    for figure in (
        roc_figure([summary], styles),
        det_figure([summary], styles),
        score_figure([scores], [np.inf], "threshold", styles),
    ):
        figure_svg(figure, "any", "any")
    for draw in (roc_figure, det_figure):
        (axes,) = draw([summary], styles).axes
        x_T, y_T = axes.lines[0].get_data()
        assert len(x_T) > 0
        assert ((x_T >= axes.get_xlim()[0]) & (x_T <= axes.get_xlim()[1])).all()
        assert ((y_T >= axes.get_ylim()[0]) & (y_T <= axes.get_ylim()[1])).all()


def test_a_perfect_system_still_has_a_det_curve_to_see():
    summary = summary_of(scores_of([5, 6, 7], range(-20, 0)))
    (axes,) = det_figure([summary], line_styles(["facemargin"])).axes
    far_T, fnmr_T = axes.lines[0].get_data()
    assert far_T.max() / far_T.min() == pytest.approx(20)
    assert set(fnmr_T) == {axes.get_yticks()[0]}


def test_long_curves_are_thinned():
    rng = np.random.default_rng(0)
    scores = scores_of(rng.normal(1, 1, 20_000), rng.normal(0, 1, 20_000))
    (axes,) = roc_figure([summary_of(scores)], line_styles(["facemargin"])).axes
    assert 200 < len(axes.lines[0].get_xdata()) <= 1000


def test_histograms_hold_every_pair_once():
    first = pair_scores("facemargin", separation=4)
    second = pair_scores("PCA", separation=1, seed=1)
    figure = score_figure([first, second], [0.7, np.inf], "threshold", line_styles(["facemargin", "PCA"]))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["facemargin", "PCA"]
    for axes, scores in zip(figure.axes, (first, second), strict=True):
        genuine, impostor = (patch.get_data() for patch in axes.patches)
        for drawn, kind_K in ((genuine, scores.same_K), (impostor, ~scores.same_K)):
            total = kind_K.sum()
            for share, low, high in zip(drawn.values, drawn.edges[:-1], drawn.edges[1:], strict=True):
                last = high == drawn.edges[-1]
                inside_K = (scores.scores_K >= low) & ((scores.scores_K < high) | last) & kind_K
                assert share == pytest.approx(inside_K.sum() / total)
            assert drawn.values.sum() == pytest.approx(1)
    assert figure.axes[0].lines[0].get_xdata()[0] == 0.7
    assert len(figure.axes[1].lines) == 0  # an infinite threshold cannot be drawn


def test_the_discard_curve_starts_at_the_fnmr_and_has_its_reference():
    summary = summary_of(pair_scores(quality=True))
    curve = summary.error_versus_discard
    (axes,) = discard_figure([summary], line_styles(["facemargin"])).axes
    drawn, random = axes.lines
    x_T, y_T = drawn.get_data()
    np.testing.assert_array_equal(x_T, [*curve.discarded_T, 1])
    np.testing.assert_array_equal(y_T, [*curve.fnmr_T, curve.fnmr_T[-1]])
    assert drawn.get_drawstyle() == "steps-post"
    assert set(random.get_ydata()) == {curve.fnmr_T[0]}


def test_every_line_of_a_log_is_drawn_to_both_ends():
    columns = metrics_columns(rows=3000)
    lines = {name: (columns["step"], columns[name]) for name in ("loss", "classification")}
    (axes,) = step_figure(lines, "loss", smooth=True).axes
    assert len(axes.lines) == 4  # each pale, and its average
    for line in axes.lines:
        assert len(line.get_xdata()) <= 1000
        assert line.get_xdata()[[0, -1]].tolist() == [10, 30_000]


def test_gaps_in_a_log_are_bridged_and_single_points_marked():
    (axes,) = step_figure({"x": (np.array([1.0, 2, 3]), np.array([5.0, np.nan, 7]))}, "x").axes
    assert axes.lines[0].get_ydata().tolist() == [5, 7]
    (axes,) = step_figure({"x": (np.array([1.0]), np.array([5.0]))}, "x").axes
    assert axes.lines[0].get_marker() == "o"


HOSTILE_NAMES = [
    "_hidden",
    "100$ and $x^{",
    r"\frac{1}{0}",
    "<script>alert(1)</script>",
    "--> & ]]>",
    "a name far too long for any legend that has to fit above a small figure",
]


def test_legends_show_every_name_as_it_is_and_fit(recwarn):
    summaries = [summary_of(pair_scores(name, quality=True, seed=i)) for i, name in enumerate(HOSTILE_NAMES)]
    styles = line_styles(HOSTILE_NAMES)
    for draw in (roc_figure, det_figure, discard_figure):
        figure = draw(summaries, styles)
        svg = figure_svg(figure, "hostile", "hostile")
        assert "<script" not in svg
        (legend,) = figure.legends
        box = legend.get_window_extent()
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
        (axes,) = figure.axes
        assert axes.get_window_extent().height > 0.4 * figure.bbox.height
        texts = [text.get_text().strip() for text in legend.get_texts()]
        assert texts[: len(HOSTILE_NAMES) - 1] == HOSTILE_NAMES[:-1]
        assert texts[len(HOSTILE_NAMES) - 1].startswith("a name far too long")
    assert not [warning for warning in recwarn if "matplotlib" in str(warning.filename)]


def test_one_name_has_one_style_and_no_two_names_share_one():
    names = [f"system {i}" for i in range(12)]
    styles = line_styles([*names, *names])
    assert list(styles) == names
    assert len({(style.color, str(style.linestyle)) for style in styles.values()}) == 12


def test_svg_is_repeatable_and_every_id_in_it_has_the_prefix():
    def draw(name):
        return figure_svg(step_figure({"x": (np.arange(5.0), np.arange(5.0))}, "y"), name, 'a "label" <&>')

    svg = draw("loss")
    assert svg == draw("loss")
    assert "<style" not in svg
    assert "<metadata" not in svg
    assert 'aria-label="a &#34;label&#34; &lt;&amp;&gt;"' in svg
    for part in svg.split('id="')[1:] + svg.split('href="#')[1:] + svg.split("url(#")[1:]:
        assert part.startswith("loss-")


def test_numbers_are_worded_as_people_write_them():
    assert [percent(far) for far in (0.1, 0.01, 0.001, 1e-6, 0.3)] == ["10%", "1%", "0.1%", "0.0001%", "30%"]
    assert far_text(0.001) == "FAR\u00a00.1%"
    assert measured_rate(0.12345, 450) == "12.3%"
    assert measured_rate(0.12345, 3000) == "12.35%"
    assert [listed(items) for items in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
