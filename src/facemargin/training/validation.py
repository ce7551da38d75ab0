"""Scoring the recogniser on verification sets while it trains."""

from collections.abc import Sequence

from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ImageSource
from facemargin.data.squareness import SquashingTold
from facemargin.evaluation import VerificationSummary, evaluate_verification, summarize
from facemargin.evaluation.embeddings import Embeddings
from facemargin.evaluation.figures import Scope, list_metrics
from facemargin.models.model import Model
from facemargin.models.recognizer import create_recognizer
from facemargin.training.recipe import model_info
from facemargin.training.state import TrainingState

_COLUMNS = {"eer": "equal_error_rate"}
"""Metrics with another name in validation.csv, as in the files of earlier runs, which a resumed run continues."""


def model_so_far(state: TrainingState) -> Model:
    """The model as it stands: a copy, so that training goes on undisturbed. It embeds in float32 on every device, so
    that the figures of a run can be compared with those of another."""
    info = model_info(state.recipe)
    recognizer = create_recognizer(info)
    recognizer.load_state_dict(state.recognizer_state())
    return Model(recognizer, info, state.device, precision="float32")


def validate(model: Model, sets: Sequence[VerificationSet]) -> list[VerificationSummary]:
    """One summary a set, without bootstrap intervals. Of images that are not square, the run tells when it starts."""

    def embed(images: ImageSource) -> Embeddings:
        return model.embed(SquashingTold(images))

    return [summarize(evaluate_verification(embed, pairs, model.info.loss), bootstrap=None) for pairs in sets]


def validation_row(step: int, epoch: int, summary: VerificationSummary) -> dict[str, object]:
    """A row of validation.csv: every rate that describes the system. A rate that the set does not have, such as the
    accuracy of a set without folds, is empty."""
    row: dict[str, object] = {"step": step, "epoch": epoch, "dataset": summary.dataset}
    for metric in list_metrics(Scope.of([summary])):
        if metric.is_rate and not metric.by_quality:
            number = metric.of(summary)
            row[_COLUMNS.get(metric.name, metric.name)] = "" if number is None else number.value
    return row
