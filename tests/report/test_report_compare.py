"""The tables and the figure of a comparison say what its runs found."""

import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from facemargin.comparison.head_differences import HeadDifference, HeadDifferences
from facemargin.comparison.result import ComparedSet, HeadComparison, HeadRun, compared_metrics
from facemargin.evaluation import MethodTarDifference
from facemargin.report.compare_figure import comparison_figure
from facemargin.report.compare_table import (
    budget_table,
    comparison_markdown,
    legend,
    metric_table,
    notes,
    terminal_table,
)
from facemargin.report.svg import figure_svg

NAMES = ["balanced_accuracy", "tar_at_far_0.1", "tar_at_far_0.01", "tar_at_far_0.001", "pauc", "relative_pauc"]


def run(head, seed, value, degraded=None, **more):
    metrics = {"people": dict.fromkeys(NAMES, value), "people-degraded": dict.fromkeys(NAMES, degraded or value / 2)}
    return HeadRun(head, seed, metrics, settings="scale=32.0", machine="a computer", images_seen=640, **more)


def compare(runs, genuine=500, impostors=4000, sets=("people",)):
    return HeadComparison(
        heads=list(dict.fromkeys(one.head for one in runs)),
        seeds=sorted({one.seed for one in runs}),
        sets=[ComparedSet(name, f"{name}-degraded", genuine, impostors) for name in sets],
        runs=runs,
    )


# Means .7, .6 and .3; standard deviations .1, .2 and .01.
THREE = [
    *(run("good", seed, 0.7 + d) for seed, d in enumerate([-0.1, 0, 0.1])),
    *(run("near", seed, 0.6 + d) for seed, d in enumerate([-0.2, 0, 0.2])),
    *(run("poor", seed, 0.3 + d) for seed, d in enumerate([-0.01, 0, 0.01])),
]


def cells(comparison, dataset="people", genuine=500):
    table = metric_table(comparison, dataset, genuine)
    return {
        head: dict(zip(table.headings, (f"{c.value} {c.interval}".strip() for c in row), strict=True))
        for head, row in table.rows
    }


def bold(comparison):
    table = metric_table(comparison, "people", 500)
    return {
        heading: [head for head, row in table.rows if row[place].best] for place, heading in enumerate(table.headings)
    }


def test_the_table_shows_mean_and_deviation_in_percent_and_areas_as_they_are():
    row = cells(compare(THREE))["poor"]
    assert row["Seeds"] == "3"
    assert row["TAR at FAR 1%"] == "30.0 ± 1.0"
    assert row["pAUC"] == "0.300 ± 0.010"
    assert cells(compare(THREE), "people-degraded")["poor"]["TAR at FAR 1%"] == "15.0 ± 0.5"
    assert cells(compare(THREE), genuine=1000)["poor"]["TAR at FAR 1%"] == "30.00 ± 1.00"


def test_the_best_is_bold_and_those_near_it_are_marked():
    comparison = compare(THREE)
    assert bold(comparison)["TAR at FAR 1%"] == ["good"] and bold(comparison)["pAUC"] == ["poor"]
    marked = {
        head: [name for name, text in row.items() if text.endswith("≈")] for head, row in cells(comparison).items()
    }
    rates = ["Balanced accuracy", "TAR at FAR 10%", "TAR at FAR 1%", "TAR at FAR 0.1%"]
    assert marked == {"good": [], "near": rates, "poor": []}


def test_what_is_printed_alike_is_equally_good():
    assert bold(compare([run("a", 0, 0.50001), run("b", 0, 0.50002)]))["TAR at FAR 1%"] == ["a", "b"]


def test_a_single_head_is_not_called_the_best():
    assert not any(bold(compare(THREE[:3])).values())


def test_one_seed_has_no_deviation_and_the_legend_says_so():
    comparison = compare([run("a", 0, 0.5), run("b", 0, 0.51)])
    assert cells(comparison)["a"]["TAR at FAR 1%"] == "50.0"
    assert "There is one seed" in legend(comparison) and "≈" not in comparison_markdown(comparison, "t", "c")
    assert "3 seeds" in legend(compare(THREE))


def test_failed_runs_are_counted_and_explained():
    failed = [HeadRun("bad", seed, {}, failure="step 3: loss is NaN") for seed in range(3)]
    comparison = compare([*THREE, *failed, HeadRun("good", 3, {}, failure="disk full")])
    found = cells(comparison)
    assert found["bad"]["Seeds"] == "0 of 4" and found["good"]["Seeds"] == "3 of 4"
    assert found["bad"]["pAUC"] == "–"
    assert "bad, seed 1 failed: step 3: loss is NaN" in notes(comparison)
    assert "good, seed 3 failed: disk full" in comparison_markdown(comparison, "t", "c")


@pytest.mark.parametrize(("impostors", "said"), [(9999, ["people: at FAR 0.1%, 9 of 9,999"]), (10_000, [])])
def test_a_rate_that_single_pairs_decide_is_noted(impostors, said):
    found = notes(compare(THREE, impostors=impostors))
    assert [note[: len(start)] for note, start in zip(found, said, strict=True)] == said


def test_differences_to_the_first_head_have_intervals_and_are_bold_where_p_is_small():
    def point(far, difference, half):
        interval = (difference - half, difference + half) if half else None
        return MethodTarDifference(far, difference, interval, 0.2, (0.5, 0.6), (0.5, 0.6), 0.1, 0.1, 5.0, 100)

    rows = [
        HeadDifference("b", point(0.01, 0.051, 0.03), 0.012),
        HeadDifference("b", point(0.1, -0.02, 0.1), 1.0),
        HeadDifference("c", point(0.01, 0.0, 0.0), 1.0),
        HeadDifference("c", point(0.1, 0.004, 0.001), 0.0001),
    ]
    found = {
        "people": HeadDifferences("a", tuple(rows), ("1 FAR left out",)),
        "people-degraded": HeadDifferences("a", (), ("none: reason",)),
    }
    comparison = replace(compare([run(head, seed, 0.5) for head in "abc" for seed in (0, 1)]), differences=found)
    page = comparison_markdown(comparison, "t", "c")
    assert "people: difference to a, 95% for other people and other seeds:" in page
    assert "| Head | Points of TAR at FAR 10% | Points of TAR at FAR 1% |" in page
    assert "| `b` | −2.00 (−12.00 to +8.00), p 1.000 | **+5.10** (+2.10 to +8.10), p 0.012 |" in page
    assert "| `c` | **+0.40** (+0.30 to +0.50), p < 0.001 | +0.00 p 1.000 |" in page
    assert {"people: 1 FAR left out", "people-degraded: none: reason"} <= set(notes(comparison))
    assert "Holm" in legend(comparison) and "Holm" not in legend(replace(comparison, differences={}))


def test_the_budget_gives_settings_images_and_mean_seconds():
    runs = [run("a", 0, 0.5, training_seconds=10.0, evaluation_seconds=1.0), run("a", 1, 0.5, evaluation_seconds=2.6)]
    ((head, row),) = budget_table(compare(runs)).rows
    assert head == "a" and [cell.value for cell in row] == ["640", "10", "2", "scale=32.0"]
    ((_, row),) = budget_table(compare([run("a", 0, 0.5)])).rows
    assert [cell.value for cell in row] == ["640", "–", "–", "scale=32.0"]


def test_the_page_has_a_table_for_every_set_clean_and_degraded():
    page = comparison_markdown(compare(THREE), "Heads compared", "facemargin compare demo")
    assert page.startswith("# Heads compared\n\n    facemargin compare demo\n\na computer\n")
    assert re.findall("^## (.*)$", page, flags=re.MULTILINE) == ["people", "people-degraded", "Budget", "Notes"]
    assert "500 genuine and 4,000 impostor pairs." in page
    (row,) = [line for line in page.splitlines() if line.startswith("| `good` | 3 ")][:1]
    assert row.count("**70.0** ± 10.0") == 4
    for line in page.splitlines():
        if line.startswith("|"):
            assert line.count("|") in (9, 6)


def test_the_terminals_table_shows_any_name():
    comparison = compare([run("magface:[bold]", 0, 0.5), run("b", 0, 0.25)])
    console = Console(width=150)
    with console.capture() as capture:
        console.print(terminal_table(metric_table(comparison, "people", 500), "people [red]"))
    text = capture.get()
    assert "magface:[bold]" in text and "people [red]" in text and "50.0" in text


def points(panel, marker):
    """Positions and heights of the marks of a panel, by colour."""
    found = {}
    for line in panel.lines:
        if line.get_marker() == marker:
            found.setdefault(line.get_color(), []).extend(zip(*line.get_data(), strict=True))
    return found


def test_the_figure_has_a_panel_a_metric_a_point_a_seed_and_a_bar_a_mean():
    comparison = compare(THREE)
    (block,) = comparison_figure(comparison).subfigs
    headings = {metric.name: metric.heading for metric in compared_metrics()}
    assert [axes.get_title(loc="left").removesuffix(" (lower is better)") for axes in block.axes] == [
        headings[name] for name in NAMES
    ]
    for panel in block.axes:
        (clean, degraded), (clean_mean, degraded_mean) = points(panel, "o").values(), points(panel, "|").values()
        assert len(clean) == len(degraded) == 9
        np.testing.assert_allclose([x for x, _ in clean], [0.6, 0.7, 0.8, 0.4, 0.6, 0.8, 0.29, 0.3, 0.31])
        np.testing.assert_allclose([x for x, _ in clean_mean], [0.7, 0.6, 0.3])
        np.testing.assert_allclose([x for x, _ in degraded_mean], [0.35, 0.3, 0.15])
        assert [round(float(y)) for _, y in clean_mean] == [0, 1, 2]
        # Degraded faces stand below clean ones, and the first head on top.
        assert all(low > high for (_, low), (_, high) in zip(degraded_mean, clean_mean, strict=True))
        assert panel.get_ylim()[0] > panel.get_ylim()[1]
    for panel in block.axes[::3]:
        assert [label.get_text() for label in panel.get_yticklabels()] == ["good", "near", "poor"]


def test_the_figure_leaves_failed_heads_out_and_takes_several_sets():
    runs = [run("a", 0, 0.5), HeadRun("b", 0, {}, failure="loss is NaN")]
    for one in runs[:1]:
        one.metrics["more"] = one.metrics["more-degraded"] = {"accuracy": 0.9}
    blocks = comparison_figure(compare(runs, sets=("people", "more"))).subfigs
    assert [len(block.axes) for block in blocks] == [6, 1]
    assert [len(rows) for rows in points(blocks[1].axes[0], "o").values()] == [1, 1]


def test_the_figure_becomes_an_svg_without_pictures():
    svg = figure_svg(comparison_figure(compare([run("$a_b$ <x>", 0, 0.5), run("b", 0, 0.25)])), "compare", "heads")
    assert svg.startswith("<svg") and "<image" not in svg


def test_a_tar_that_stands_on_no_impostor_has_no_best():
    few = compare(THREE, impostors=900)
    assert bold(few)["TAR at FAR 0.1%"] == []
    assert bold(few)["TAR at FAR 1%"] == ["good"]
    assert "≈" not in cells(few)["near"]["TAR at FAR 0.1%"]
    assert any(
        "0.1% of 900 impostor pairs is less than one" in note and "no head is marked" in note for note in notes(few)
    )
    assert bold(compare(THREE, impostors=1000))["TAR at FAR 0.1%"] == ["good"]
