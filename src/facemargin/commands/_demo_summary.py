"""What the demo showed, in three sentences for people who do not know the field."""

from facemargin.commands._demo_released import NAME, ReleasedResult
from facemargin.counting import counted
from facemargin.detection.detector import create_detector
from facemargin.errors import ConfigError
from facemargin.evaluation import VerificationSummary
from facemargin.evaluation.checked_quality import QualityCheck
from facemargin.evaluation.number_format import measured_rate
from facemargin.extras import install
from facemargin.report.findings import HEADLINE_FAR
from facemargin.report.wording import percent


def summary_lines(
    trained: VerificationSummary,
    check: QualityCheck,
    train_people: range,
    train_pictures: int,
    released: ReleasedResult | str,
) -> list[str]:
    """What was done, what came out, and what to do next and not to trust; with a fourth line if the released recogniser
    was left out, for which `released` is the reason."""
    people = counted(check.people or 0, "person", "people")
    pictures = counted(train_pictures, "picture")
    here = f"FunFace, trained here on {pictures} of {len(train_people)} people (facemargin in the tables)"
    of_here = f"the one trained here {_recognized(trained)}, and its quality {_helps(check)}"
    advice = "do not use the recogniser trained here, which only shows how training works, with far too few people"
    if isinstance(released, str):
        return [
            f"A recogniser, {here}, compared pictures of {people} whom it had never seen.",
            f"Of {trained.genuine:,} pairs of pictures of one person {of_here} (wrongly accepting "
            f"{percent(HEADLINE_FAR)} of the pairs of two people).",
            "For your own pictures take a released recogniser (facemargin models), and measure its error rates on your "
            f"own cameras and people (facemargin calibrate) before you rely on a decision; {advice}.",
            left_out(released),
        ]
    clean = released.summaries[0]
    return [
        f"Two recognisers compared pictures of {people} whom neither had seen: {NAME}, which others trained and "
        f"released, and {here}.",
        f"Of {clean.genuine:,} pairs of pictures of one person {NAME} {_recognized(clean)}, and its quality "
        f"{_helps(released.check)}; {of_here} (each wrongly accepting {percent(HEADLINE_FAR)} of the pairs of two "
        "people).",
        f"For your own pictures take {NAME} (facemargin verify {NAME} a.jpg b.jpg --detect{_installed_first()}), and "
        "measure its error rates on your own cameras and people (facemargin calibrate) before you rely on a decision; "
        f"{advice}.",
    ]


def _installed_first() -> str:
    """What installs the default detector, if it is not here. No other one is advised, because the thresholds are not
    known to hold for its faces."""
    try:
        create_detector()
    except ConfigError:
        return f", after {install('detect')}"
    return ""


def left_out(why: str) -> str:
    return f"The released recogniser {NAME} was left out: {why}"


def _recognized(summary: VerificationSummary) -> str:
    return f"recognised {measured_rate(summary.tar_at_far.tar[HEADLINE_FAR], summary.genuine)}"


def _helps(check: QualityCheck) -> str:
    """ "helps to sort out poor pictures", "is not shown to help"."""
    if not check.helps:
        return "is not shown to help"
    exceptions = check.words.removeprefix("helps")
    return f"helps to sort out poor pictures{exceptions}"
