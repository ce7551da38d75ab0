"""Images that turn out to be somebody else's: two names become one person, or one name two."""

from collections.abc import Sequence

from facemargin.counting import counted
from facemargin.errors import ConfigError
from facemargin.gallery.store import Store


def merge(store: Store, gone: str, kept: str) -> int:
    """See `Gallery.merge`."""
    if gone == kept:
        raise ConfigError(f"{gone!r} is to be merged with the same person: give two names")
    with store.writing("merging"):
        list(store.images(kept))  # enrolled, or this says so
        numbers = [image.number for image in store.images(gone)]
        store.move_images(numbers, kept)
    return len(numbers)


def split(store: Store, old: str, numbers: Sequence[int], new: str) -> None:
    """See `Gallery.split`."""
    with store.writing("splitting"):
        own = [image.number for image in store.images(old)]
        strange = [number for number in numbers if number not in own]
        if strange:
            raise ConfigError(
                f"image {strange[0]} is not of {old!r}, whose images are {', '.join(map(str, own))}; nothing has "
                "changed"
            )
        if not 0 < len(set(numbers)) < len(own):
            raise ConfigError(
                f"{counted(len(set(numbers)), 'image')} of the {len(own)} of {old!r} are to be of somebody else: give "
                "at least one, and leave at least one"
            )
        if store.person_numbers([new])[0] is not None:
            raise ConfigError(f"{new!r} is enrolled already: split off a new name, and then merge the two")
        store.move_images(list(numbers), new)
