"""The layer of blocks: everything that the page shows is in the blocks, with the numbers in full precision."""

import numpy as np
import pytest

from facemargin.report import load_run
from facemargin.report.blocks import Cell, Section, TableBlock
from facemargin.report.document import Document, report_document
from facemargin.report.page import report_html
from tests.report.report_runs import FEW_RESAMPLES, write_checked, write_released, write_run


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    folder = write_released(write_run(tmp_path_factory.mktemp("blocks") / "demo"))
    write_checked(folder, "people", helps=False)
    return report_document(load_run(folder), FEW_RESAMPLES)


def test_files_are_called_after_the_data_set_not_after_its_place_in_the_report(document):
    names = {
        section.anchor: [section.file_stem(block) for block in section.tables() + section.figures()]
        for section in document.sections
    }
    assert list(names) == ["released", "data-set-1", "data-set-2", "training", "recipe", "environment"]
    kinds = ["verification", "discarded", "roc", "det", "scores", "discard"]
    assert names["data-set-2"] == [f"people-degraded-{kind}" for kind in kinds]
    for blocks_of in (Section.tables, Section.figures):
        stems = [section.file_stem(block) for section in document.sections for block in blocks_of(section)]
        assert len(set(stems)) == len(stems) > 4


def test_every_figure_has_its_numbers(document):
    for section in document.sections:
        for block in section.figures():
            assert block.data, block.name
            for curve in block.data:
                assert len(curve.x_T) == len(curve.y_T) > 1
                assert curve.x_name and curve.y_name
    roc = next(block for section in document.sections for block in section.figures() if block.title == "ROC")
    assert [curve.name for curve in roc.data] == ["facemargin", "raw pixels", "PCA"]
    assert all(curve.x_is_rate and curve.y_is_rate for curve in roc.data)
    np.testing.assert_array_equal(roc.data[0].y_T, roc.figure.axes[0].lines[0].get_ydata())
    scores = next(block for section in document.sections for block in section.figures() if "scores" in block.name)
    assert [curve.name for curve in scores.data][:2] == ["facemargin, genuine", "facemargin, impostor"]
    assert sum(scores.data[0].y_T) == pytest.approx(1)
    assert (scores.data[0].x_is_rate, scores.data[0].y_is_rate) == (False, True)


def test_cells_have_the_numbers_that_their_texts_round(document):
    tables = [block for section in document.sections for block in section.blocks if isinstance(block, TableBlock)]
    cells = [cell for block in tables for _, row in block.table.rows for cell in row]
    rates = [cell for cell in cells if cell.value.endswith("%")]
    assert len(rates) > 40
    for cell in rates:
        assert f"{cell.number:.1%}" == cell.value
        assert (cell.span is None) == (cell.interval == "")
    assert all(cell.number is None for cell in cells if cell.value == "–")


def test_a_block_of_an_unknown_kind_is_not_left_out_silently():
    with pytest.raises(Exception, match="no_template_for_this_kind_of_block"):
        report_html(Document("x", "", [], [Section("a", "A", "A", [Cell("x")])]))
