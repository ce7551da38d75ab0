"""Scoring the recogniser on verification sets while it trains."""

from collections.abc import Sequence

from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.evaluation import VerificationSummary, evaluate_verification, summarize
from facemargin.models.model import Model
from facemargin.models.recognizer import create_recognizer
from facemargin.training.recipe import model_info
from facemargin.training.state import TrainingState


def model_so_far(state: TrainingState) -> Model:
    """The model as it stands: a copy, so that training goes on undisturbed."""
    info = model_info(state.recipe)
    recognizer = create_recognizer(info)
    recognizer.load_state_dict(state.recognizer_state())
    return Model(recognizer, info, state.device)


def validate(model: Model, sets: Sequence[VerificationSet]) -> list[VerificationSummary]:
    """One summary a set, without bootstrap intervals."""
    return [summarize(evaluate_verification(model.embed, pairs, model.info.loss), bootstrap=None) for pairs in sets]


def validation_row(step: int, epoch: int, summary: VerificationSummary) -> dict[str, object]:
    """A row of validation.csv. `accuracy` is the k-fold mean where the set has folds, else empty."""
    return {
        "step": step,
        "epoch": epoch,
        "dataset": summary.dataset,
        "accuracy": "" if summary.accuracy is None else summary.accuracy.mean,
        "balanced_accuracy": summary.balanced_accuracy.value,
        "equal_error_rate": summary.roc.eer,
        **{f"tar_at_far_{point.target_far:g}": point.tar for point in summary.tar_at_far.points},
    }
