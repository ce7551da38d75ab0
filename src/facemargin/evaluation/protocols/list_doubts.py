"""Checks lists of a gallery, probes and distractors for mistakes: files in two lists, identities that are nearly
equal."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

from facemargin.counting import counted
from facemargin.errors import DataError
from facemargin.evaluation.protocols.search_lists import Entry

_SHOWN = 3

Lists = Mapping[str, Sequence[Entry]]


def check_lists(part: str, lists: Lists) -> list[str]:
    """Notes about the lists of one search ("gallery", "probe" and, optionally, "distractors"): files that are listed
    twice or in both gallery and probe, and identities that differ in spelling only. Raises DataError, which names them,
    if a file shows two people, if a distractor is a person of the gallery or the probes, or if no probe has a mate."""
    _require_one_person(lists)
    _require_strangers(lists)
    alike = _nearly_equal(lists)
    enrolled = {entry.identity for entry in lists["gallery"]}
    if not any(entry.identity in enrolled for entry in lists["probe"]):
        why = f": {alike}" if alike else ""
        raise DataError(
            f"{part}: none of the {counted(len(lists['probe']), 'probe')} has its identity in the gallery{why}"
        )
    notes = [alike] if alike else []
    files = {name: Counter((entry.image, entry.template) for entry in entries) for name, entries in lists.items()}
    for name, counts in files.items():
        twice = [image for (image, _), count in counts.items() if count > 1]
        if twice:
            notes.append(f"{_files(twice)} listed more than once as {name}, and {_count(twice)} that often")
    images = {name: {entry.image for entry in entries} for name, entries in lists.items()}
    both = [image for image in dict.fromkeys(e.image for e in lists["probe"]) if image in images["gallery"]]
    if both:
        notes.append(f"{_files(both)} in both the gallery and the probes: such a probe finds itself")
    return [note if part == "search" else f"{part}: {note}" for note in notes]


def _require_one_person(lists: Lists) -> None:
    person_of: dict[str, tuple[str, str]] = {}
    for name in ("gallery", "probe"):
        for entry in lists[name]:
            assert entry.identity is not None
            person, where = person_of.setdefault(entry.image, (entry.identity, name))
            if person != entry.identity:
                raise DataError(
                    f"{entry.image} shows {person} in the list {where}, but {entry.identity} in the list {name}"
                )


def _require_strangers(lists: Lists) -> None:
    distractors = lists.get("distractors", ())
    for name in ("gallery", "probe"):
        known = {entry.image for entry in lists[name]}
        shared = [entry.image for entry in distractors if entry.image in known]
        if shared:
            raise DataError(
                f"{_files(shared)} in both the {name} and the distractors list. A distractor never counts as a "
                "mate, so the file would count as an error for the person it shows: remove it from the "
                "distractors"
            )
    people = {entry.identity for name in ("gallery", "probe") for entry in lists[name]}
    mates = [entry for entry in distractors if entry.claimed in people]
    if mates:
        raise DataError(
            f"{_files([entry.image for entry in mates])} in the distractors list as {mates[0].claimed}, who is "
            "also in the gallery or the probes. A distractor must show another person: remove it from the "
            "distractors"
        )


def _nearly_equal(lists: Lists) -> str:
    """Describe identities of probes that equal an identity of the gallery except for case, spaces, leading zeros or a
    final ".0"."""
    enrolled = {entry.identity for entry in lists["gallery"] if entry.identity is not None}
    plain = {_plain(identity): identity for identity in enrolled}
    probes = dict.fromkeys(entry.identity for entry in lists["probe"] if entry.identity is not None)
    alike = [
        (identity, plain[_plain(identity)])
        for identity in probes
        if identity not in enrolled and _plain(identity) in plain
    ]
    if not alike:
        return ""
    probe, gallery = alike[0]
    return (
        "identities of the probes and of the gallery that differ in spelling only and count as different people: "
        f"{len(alike):,}, such as {probe!r} and {gallery!r}"
    )


def _plain(identity: str) -> str:
    text = "".join(unicodedata.normalize("NFKC", identity).casefold().split())
    whole = text.removesuffix(".0")
    return whole.lstrip("0") or whole


def _files(images: Sequence[str]) -> str:
    shown = ", ".join(images[:_SHOWN]) + (", …" if len(images) > _SHOWN else "")
    return f"{counted(len(images), 'file')} ({shown}) {'is' if len(images) == 1 else 'are'}"


def _count(images: Sequence[str]) -> str:
    return "counts" if len(images) == 1 else "count"
