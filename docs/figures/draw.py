"""Draws the figures of the README and the docs from a run of the demo: python docs/figures/draw.py runs/demo"""

import sys
from pathlib import Path

from facemargin.evaluation import summarize
from facemargin.report import load_run
from facemargin.report.error_rate_figures import roc_figure
from facemargin.report.style import line_styles
from facemargin.report.svg import figure_svg


def main() -> None:
    evaluation, *_ = load_run(Path(sys.argv[1])).evaluations
    summaries = [summarize(scores, bootstrap=None) for scores in evaluation.systems]
    figure = roc_figure(summaries, line_styles([summary.system for summary in summaries]))
    svg = figure_svg(figure, "roc", f"ROC curves on {evaluation.dataset}")
    Path(__file__).with_name("demo_roc.svg").write_text(f"{svg}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
