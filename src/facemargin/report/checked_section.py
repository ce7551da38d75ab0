"""The part of a report that says whether a quality can be trusted, and shows pictures by which a person can see it."""

from dataclasses import dataclass

from facemargin.evaluation.checked_quality import QualityCheck
from facemargin.report.content import DatasetEvaluation
from facemargin.report.gallery import FaceGallery
from facemargin.report.wording import as_sentence


@dataclass(frozen=True)
class CheckedSection:
    """The verdict as a sentence, the reasons for it, and the pictures."""

    verdict: str
    reasons: list[str]
    faces: FaceGallery | None
    not_faces: FaceGallery | None


def checked_section(check: QualityCheck | None, evaluation: DatasetEvaluation) -> CheckedSection | None:
    """The section of the check of the model's quality, of which `evaluation` has pictures; None if it has none."""
    if check is None or evaluation.checked_faces is None:
        return None
    system = evaluation.systems[0].system if evaluation.systems else "the model"
    reasons = [as_sentence(reason) for reason in check.reasons]
    return CheckedSection(verdict(check, system), reasons, evaluation.checked_faces, evaluation.not_faces)


def verdict(check: QualityCheck, system: str) -> str:
    """What the check found, and what follows from it."""
    if check.helps:
        return f"The quality of {system} {check.words}: sort out pictures by it."
    return f"The quality of {system} is {check.words}: do not sort out pictures by it."
