"""The report of a run or an evaluation: one HTML file that opens offline."""

from facemargin.report.content import DatasetEvaluation, ReportContent, Validation, load_run
from facemargin.report.gallery import FaceGallery
from facemargin.report.page import write_report, write_run_report

__all__ = [
    "DatasetEvaluation",
    "FaceGallery",
    "ReportContent",
    "Validation",
    "load_run",
    "write_report",
    "write_run_report",
]
