"""What lists of a gallery, probes and distractors should not have: files in two of them, names nearly equal."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

from facemargin.counting import counted
from facemargin.errors import DataError
from facemargin.evaluation.protocols.search_lists import Entry

_SHOWN = 3

Lists = Mapping[str, Sequence[Entry]]


def check_lists(part: str, lists: Lists) -> list[str]:
    """What to say of the lists of one search, "gallery", "probe" and maybe "distractors": files that are listed twice
    or are both gallery and probe, and identities that differ in writing alone. Raises DataError, naming them,
    where a file shows two people, a distractor is somebody who is searched for or enrolled, or no probe has a mate."""
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
            notes.append(f"{_files(twice)} listed more than once as {name}, and {_count(twice)} so often")
    images = {name: {entry.image for entry in entries} for name, entries in lists.items()}
    both = [image for image in dict.fromkeys(e.image for e in lists["probe"]) if image in images["gallery"]]
    if both:
        notes.append(f"{_files(both)} both gallery and probe: such a probe finds itself")
    return [note if part == "search" else f"{part}: {note}" for note in notes]


def _require_one_person(lists: Lists) -> None:
    person_of: dict[str, tuple[str, str]] = {}
    for name in ("gallery", "probe"):
        for entry in lists[name]:
            assert entry.identity is not None
            person, where = person_of.setdefault(entry.image, (entry.identity, name))
            if person != entry.identity:
                raise DataError(f"{entry.image} shows {person} as {where}, and {entry.identity} as {name}")


def _require_strangers(lists: Lists) -> None:
    distractors = lists.get("distractors", ())
    for name in ("gallery", "probe"):
        known = {entry.image for entry in lists[name]}
        shared = [entry.image for entry in distractors if entry.image in known]
        if shared:
            raise DataError(
                f"{_files(shared)} both {name} and distractors: a distractor is nobody's mate, so that it would count "
                "against whoever it shows"
            )
    people = {entry.identity for name in ("gallery", "probe") for entry in lists[name]}
    mates = [entry for entry in distractors if entry.claimed in people]
    if mates:
        raise DataError(
            f"{_files([entry.image for entry in mates])} among the distractors as {mates[0].claimed}, who is in the "
            "gallery or among the probes: a distractor has to be somebody else"
        )


def _nearly_equal(lists: Lists) -> str:
    """Identities of probes without a mate that are the gallery's but for case, spaces, zeros in front, ".0" behind."""
    enrolled = {entry.identity for entry in lists["gallery"] if entry.identity is not None}
    plain = {_plain(identity): identity for identity in enrolled}
    probes = dict.fromkeys(entry.identity for entry in lists["probe"] if entry.identity is not None)
    alike = [(one, plain[_plain(one)]) for one in probes if one not in enrolled and _plain(one) in plain]
    if not alike:
        return ""
    probe, gallery = alike[0]
    return (
        "identities of the probes and of the gallery that differ in writing alone and count as different people: "
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
