"""Looks for the people of images in a gallery. Shapes: N images, G groups of them, K candidates."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from facemargin.data.source import ImageSource
from facemargin.detection.detector import Detector
from facemargin.detection.face import Choice
from facemargin.errors import DataError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.gallery.identification import Candidate, Identification, decide, too_poor
from facemargin.gallery.looking import Looked, LookedAt
from facemargin.gallery.rule import SearchRule
from facemargin.gallery.store import Store
from facemargin.gallery.templates import pooled_probe
from facemargin.models.model import Model
from facemargin.quality.gate import QualityGate
from facemargin.quality.image_statistics import Reason

_PROBES_AT_A_TIME = 256


def identify(
    store: Store,
    model: Model,
    detector: Detector | None,
    rule: SearchRule | None,
    images: ImageSource,
    groups: Sequence[object] | None,
    candidates: int,
    gate: QualityGate | None,
    on_several: Choice,
    batch_size: int | None,
    progress: Callable[[int, int], None] | None,
) -> Iterator[Identification]:
    """An answer for every image, or for every group of images that are of one person, in the order of their first
    images. Of a group the images that fail the gate, or are of too low a quality, are left out, if there are others."""
    source = LookedAt(images, detector, on_several, gate)
    group_of = list(range(len(images))) if groups is None else list(groups)
    last = {group: place for place, group in enumerate(group_of)}
    waiting: dict[object, list[Looked]] = {}
    ready: list[list[Looked]] = []
    for looked in source.look(model, store.binding.views, batch_size):
        waiting.setdefault(group_of[looked.index], []).append(looked)
        while waiting and last[first := next(iter(waiting))] <= looked.index:
            ready.append(waiting.pop(first))
        if len(ready) >= _PROBES_AT_A_TIME:
            yield from answers(store, rule, source.describe, ready, candidates)
            ready = []
        if progress is not None:
            progress(looked.index + 1, len(images))
    yield from answers(store, rule, source.describe, ready, candidates)


def answers(
    store: Store,
    rule: SearchRule | None,
    describe: Callable[[int], str],
    groups: Sequence[list[Looked]],
    candidates: int,
) -> list[Identification]:
    """The answers for groups of images that were looked at, searched together; `describe` names an image."""
    pooled: list[Embeddings | None] = []
    noted: list[list[Reason]] = []
    sources: list[list[str]] = []
    for group in groups:
        used, reasons = _used(group, rule)
        noted.append(reasons)
        sources.append([describe(one.index) for one in group])
        embeddings = [one.embedding for one in used if one.embedding is not None]
        pooled.append(_pooled(embeddings, store.binding.quality_helps) if embeddings else None)
    probes = [one.vectors[0] for one in pooled if one is not None]
    found = iter(_candidates(store, probes, candidates, rule))
    decided = [
        too_poor(names, reasons)
        if probe is None
        else decide(names, float(probe.quality[0]), next(found), rule, reasons)
        for names, probe, reasons in zip(sources, pooled, noted, strict=True)
    ]
    return [replace(answer, candidates=answer.candidates[:candidates]) for answer in decided]


def _candidates(
    store: Store, probes: Sequence[np.ndarray], candidates: int, rule: SearchRule | None
) -> Iterator[list[Candidate]]:
    if not probes:
        return
    for again in (True, True, False):
        found = store.search(np.stack(probes), max(candidates, 2))  # whether a second one reaches the threshold
        try:
            named = [_named(store, *row) for row in zip(found.people_PK, found.scores_PK, strict=True)]
        except DataError:
            if again:
                continue  # somebody was removed between the search and the question for the name
            raise
        break
    yield from named


def _named(store: Store, people_K: NDArray[np.int64], scores_K: NDArray[np.float64]) -> list[Candidate]:
    found_K = people_K >= 0
    names = store.person_names(people_K[found_K].tolist())
    return [Candidate(name, score) for name, score in zip(names, scores_K[found_K].tolist(), strict=True)]


def _used(group: Sequence[Looked], rule: SearchRule | None) -> tuple[list[Looked], list[Reason]]:
    """The images that make the probe, and the reasons against the others. Where the quality of all is too low, they
    stay, so that the answer can say how low it is."""
    reasons = [one.problem for one in group if one.problem is not None]
    reasons += [reason for one in group for reason in one.reasons]
    passing = [one for one in group if one.embedding is not None and not one.reasons]
    floor = None if rule is None else rule.quality_floor
    good = [
        one for one in passing if one.embedding is not None and (floor is None or one.embedding.quality[0] >= floor)
    ]
    if good and len(good) < len(passing):
        words = f"low quality: {len(passing) - len(good)} of {len(group)} images left out"
        reasons.append(Reason("low_quality", words))
    return good or passing, reasons


def _pooled(embeddings: Sequence[Embeddings], by_quality: bool) -> Embeddings:
    if len(embeddings) == 1:
        return embeddings[0]
    arrays = [[getattr(one, name) for one in embeddings] for name in ("vectors", "norms", "quality")]
    return pooled_probe(Embeddings(*map(np.concatenate, arrays)), by_quality)
