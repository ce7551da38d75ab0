"""A promise about searches of one gallery: how often a stranger is taken for somebody, whoever the strangers are.

Shapes: S searches.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemargin.counting import counted
from facemargin.decision.guarantee import at_most, confidence_text
from facemargin.errors import DataError
from facemargin.evaluation.metrics.certified_bound import certified_upper_bound, largest_observed, units_needed
from facemargin.files.atomic import write_text_atomically
from facemargin.files.fields import Fields
from facemargin.gallery.rule import SearchRule

FORMAT = "facemargin gallery certificate 1"


@dataclass(frozen=True)
class SearchRate:
    """An error rate of searches that is promised at a threshold. target: the rate asked for. threshold: None if it
    cannot be certified. observed: the rate among these people there, each counted alike. people, searches: how many.
    lowest: the lowest rate that so many people can certify. people_needed: how many the target needs, if there is no
    error among them."""

    target: float
    threshold: float | None
    observed: float | None
    people: int
    searches: int
    lowest: float
    people_needed: int

    def refusal(self, name: str, who: str) -> str:
        """Why there is no threshold; empty if there is one."""
        if self.threshold is not None:
            return ""
        return (
            f"{name} {self.target:g} needs {self.people_needed:,} {who} with no error, there are {self.people:,}; the "
            f"lowest that can be certified is {100 * self.lowest:.3g} %"
        )


@dataclass(frozen=True)
class GalleryCertificate:
    """What `Gallery.certify` promises of searches with one image of quality `quality_floor` or more (None: of any) in
    the gallery as it was: with `state`, `enrolled` people. fpir: strangers for whom somebody is found. fnir: enrolled
    people for whom nobody is said to be enrolled, None if that was not asked for. Both hold together with
    `confidence`. unusable: images that could not be read or show no face, and are behind no promise.

    Examples:
        >>> import facemargin as fm, tempfile
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64)
        >>> gallery = fm.Gallery.create(tempfile.mkdtemp() + "/gallery", model)
        >>> done = gallery.enrol(fm.open_images("orl:1-2"), gate="off")
        >>> (refusal,) = gallery.certify(fm.open_images("orl:3-32")).refusals
        >>> refusal.partition("; ")[2]
        'the lowest that can be certified is 9.5 %'
    """

    gallery: str
    state: str
    enrolled: int
    faces: str
    fpir: SearchRate
    fnir: SearchRate | None
    confidence: float
    quality_floor: float | None
    unusable: int
    date: str
    version: str

    @property
    def promises(self) -> bool:
        """Whether all rates that were asked for are certified."""
        return not self.refusals

    @property
    def refusals(self) -> list[str]:
        """Why rates cannot be certified; empty if all can be."""
        found = [self.fpir.refusal("FPIR", "people who are not enrolled")]
        if self.fnir is not None:
            found.append(self.fnir.refusal("FNIR", "enrolled people"))
        return [text for text in found if text]

    def rule(self) -> SearchRule | None:
        """The thresholds; None if the FPIR is refused."""
        if self.fpir.threshold is None:
            return None
        words = (
            f"threshold {self.fpir.threshold:.4f}: promised with {confidence_text(self.confidence)} confidence is that "
            f"at most {at_most(self.fpir.target)} searches with one image for strangers find somebody among the "
            f"{counted(self.enrolled, 'person', 'people')} of this gallery, certified on "
            f"{counted(self.fpir.people, 'person', 'people')} of {self.faces} who are not enrolled"
        )
        if self.fnir is None or self.fnir.threshold is None:
            return SearchRule(self.fpir.threshold, None, self.quality_floor, (words,))
        reject = min(self.fnir.threshold, self.fpir.threshold)
        more = (
            f'below {reject:.4f} "nobody enrolled": promised together with it is that at most '
            f"{at_most(self.fnir.target)} searches with one image that is not too poor, for enrolled people, get that "
            f"answer, certified on "
            f"{counted(self.fnir.people, 'person', 'people')}"
        )
        return SearchRule(self.fpir.threshold, reject, self.quality_floor, (words, more))

    def save(self, path: Path | str) -> None:
        """Write to a .json file that `load` reads back. It is written completely or not at all."""
        content = json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False, allow_nan=False)
        write_text_atomically(Path(path), f"{content}\n")

    @classmethod
    def load(cls, path: Path | str) -> "GalleryCertificate":
        """Read a file of `save`. Raises DataError, which names the file and the field, for any other file."""
        try:
            return _certificate(Fields(json.loads(Path(path).read_text(encoding="utf-8"))))
        except OSError as error:
            raise DataError(f"{path} cannot be read as a certificate of a gallery: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            problem = "it is nested too deeply" if isinstance(error, RecursionError) else error
            raise DataError(
                f"{path} cannot be read as a certificate of a gallery: {problem}; facemargin gallery certify writes one"
            ) from error


def certified_search_rate(scores: ArrayLike, people: ArrayLike, target: float, delta: float) -> SearchRate:
    """The lowest threshold such that the rate of searches with a score of it or more is certified to be at most
    `target`, except in `delta` of all samples of so many people.

    `scores` (S,): of the best candidate of each search, −inf for one that finds nobody whatever the threshold; `people`
    (S,): whom the search was for. The gallery being fixed, people are independent, and a person's rate, the share of
    that person's searches, counts as one of m terms in [0, 1]; see `certified_bound`.
    """
    score_S = np.asarray(scores, np.float64)
    _, person_S, searches = np.unique(np.asarray(people), return_inverse=True, return_counts=True)
    m = len(searches)
    weight_S = 1 / (m * searches[person_S])
    largest = largest_observed(target, m, delta) if m else None
    lowest = float(certified_upper_bound(0.0, m, 1 - delta)) if m else 1.0
    if largest is None:
        return SearchRate(target, None, None, m, len(score_S), lowest, units_needed(target, 0.0, delta))
    threshold = _lowest_threshold(score_S, weight_S, largest)
    observed = float(weight_S[score_S >= threshold].sum())
    return SearchRate(target, threshold, observed, m, len(score_S), lowest, units_needed(target, 0.0, delta))


def _lowest_threshold(score_S: NDArray[np.float64], weight_S: NDArray[np.float64], largest: float) -> float:
    """The lowest number that searches of a weight of at most `largest` together reach."""
    finite_S = np.isfinite(score_S)
    if not finite_S.any():
        return -1.0
    order = np.argsort(-score_S[finite_S], kind="stable")
    falling_S, weight_S = score_S[finite_S][order], weight_S[finite_S][order]
    reaching_S = np.cumsum(weight_S)  # of all with this score or more, at the last of equal ones
    last_S = np.append(falling_S[1:] != falling_S[:-1], True)
    too_many = np.flatnonzero(last_S & (reaching_S > largest))
    if not len(too_many):
        return float(falling_S[-1])
    return float(np.nextafter(falling_S[too_many[0]], np.inf))


def _certificate(file: Fields) -> GalleryCertificate:
    file.text("format", (FORMAT,))
    gallery, state, enrolled = file.text("gallery"), file.text("state"), file.count("enrolled")
    faces, fpir, fnir = file.text("faces"), _rate(file.fields("fpir")), file.optional_fields("fnir")
    confidence, floor = file.number("confidence", 0, 1), file.optional_number("quality_floor")
    unusable, date, version = file.count("unusable"), file.text("date"), file.text("version")
    file.end()
    if not 0 < confidence < 1:
        raise file.refuse("confidence", confidence, "a number between 0 and 1")
    missed = None if fnir is None else _rate(fnir)
    return GalleryCertificate(gallery, state, enrolled, faces, fpir, missed, confidence, floor, unusable, date, version)


def _rate(rate: Fields) -> SearchRate:
    target = rate.number("target", 0, 1)
    if not 0 < target < 1:
        raise rate.refuse("target", target, "a number between 0 and 1")
    threshold, observed = rate.optional_number("threshold"), rate.optional_number("observed", 0, 1)
    people, searches = rate.count("people"), rate.count("searches")
    lowest, needed = rate.number("lowest", 0, 1), rate.count("people_needed")
    rate.end()
    if (threshold is None) != (observed is None):
        raise rate.refuse("observed", observed, "a rate if there is a threshold, and null without one")
    return SearchRate(target, threshold, observed, people, searches, lowest, needed)
