"""Images that the gate kept for review: which wait, and what is decided. Everything here runs in the threads of
requests."""

from collections.abc import Sequence

from facemargin.errors import ConfigError
from facemargin.gallery.store import EnrolledImage
from facemargin.serving.errors import RequestError
from facemargin.serving.service import Caller, ServedGallery, Service


def waiting(
    service: Service, caller: Caller, request_id: str, served: ServedGallery, after: int, limit: int
) -> tuple[list[EnrolledImage], int | None]:
    """At most `limit` images in review of numbers above `after`, and after which number the next page begins; None
    where there is none."""
    images = served.gallery.in_review(after, limit + 1)
    page = images[:limit]
    service.record(caller, request_id, "list review", served.name, after=after, images=len(page))
    return page, page[-1].number if len(images) > limit else None


def decide(
    service: Service,
    caller: Caller,
    request_id: str,
    served: ServedGallery,
    accept: Sequence[int],
    reject: Sequence[int],
) -> int:
    """What `Gallery.review` does; it is recorded before it is done, and that it was done. Returns how many still wait.
    RequestError for an image that does not wait, and for one that is in both."""
    if both := set(accept) & set(reject):
        raise RequestError(422, "invalid_value", f"image {min(both)} is to be accepted and deleted, choose one")
    with served.change() as gallery:
        service.record(caller, request_id, "review", served.name, stage="asked", accept=accept, reject=reject)
        try:
            decided = gallery.review(accept, reject)
        except ConfigError as error:
            raise RequestError(409, "not_in_review", str(error)) from error
        people = sorted({image.person for image in decided})
        service.record(
            caller, request_id, "review", served.name, stage="done", accept=accept, reject=reject, people=people
        )
        return gallery.counts()[2]
