"""What is decided about images that the gate kept for review."""

from collections.abc import Sequence

from facemargin.errors import ConfigError
from facemargin.gallery.store import EnrolledImage, Store


def review(store: Store, accept: Sequence[int], reject: Sequence[int]) -> list[EnrolledImage]:
    """See `Gallery.review`."""
    if both := set(accept) & set(reject):
        raise ConfigError(f"image {min(both)} is to be accepted and to be rejected, expected one of them")
    with store.writing("reviewing"):  # so that nobody decides otherwise meanwhile
        waiting = {image.number: image for image in store.images(in_review=True)}
        if strange := [number for number in (*accept, *reject) if number not in waiting]:
            raise ConfigError(f"image {strange[0]} does not wait for a decision; nothing has changed")
        if accept:
            store.accept(list(dict.fromkeys(accept)))
        if reject:
            store.remove_images(list(dict.fromkeys(reject)))
    return [waiting[number] for number in dict.fromkeys((*accept, *reject))]
