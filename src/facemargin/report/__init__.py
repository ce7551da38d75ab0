"""The report of a run or an evaluation: one HTML file that opens offline."""

from facemargin.report.content import DatasetEvaluation, ReportContent, Validation, load_run
from facemargin.report.gallery import FaceGallery
from facemargin.report.page import write_report, write_run_report
from facemargin.report.reconstruction_gallery import ReconstructionGallery
from facemargin.report.reconstruction_pictures import ReconstructionPictures, reconstruction_pictures

__all__ = [
    "DatasetEvaluation",
    "FaceGallery",
    "ReconstructionGallery",
    "ReconstructionPictures",
    "ReportContent",
    "Validation",
    "load_run",
    "reconstruction_pictures",
    "write_report",
    "write_run_report",
]
