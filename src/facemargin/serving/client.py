"""A client of the service in Python, without other packages: the results of the library, from another machine."""

import contextlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import numpy as np

from facemargin.data.formats.image_files import read_image_bytes
from facemargin.data.given_images import GivenForm, one_image
from facemargin.data.source import encode_png
from facemargin.decision.calibration import Threshold
from facemargin.decision.verify import Verification
from facemargin.detection.face import Face, FoundFace
from facemargin.errors import ConfigError, DataError, ServiceError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.gallery.enrolment import Enrolment, EnrolmentOutcome
from facemargin.gallery.identification import Candidate, Identification
from facemargin.gallery.store import EnrolledImage, EnrolledPerson
from facemargin.quality.image_statistics import Reason

_PAGE, _WAITING_PAGE = 10_000, 1000


class Client:
    """A service at `url`, such as http://127.0.0.1:8000, with a `key` if it wants one. Any number of threads may use
    it. Its answers are the types that the library has for the same questions.

    Every method raises ServiceError where the service refuses, or cannot be reached within `timeout` seconds.

    Examples:
        >>> import facemargin as fm
        >>> client = fm.Client("http://127.0.0.1:9")
        >>> client.galleries()
        Traceback (most recent call last):
        facemargin.errors.ServiceError: http://127.0.0.1:9 cannot be reached: ...
    """

    def __init__(self, url: str, key: str | None = None, timeout: float = 60.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"the address is {url!r}, expected one such as http://127.0.0.1:8000")
        self.url, self._key, self._timeout, self._parts = url.rstrip("/"), key, timeout, parts

    def verify(
        self, a: GivenForm, b: GivenForm, *, fmr: float | None = None, on_several: str = "largest"
    ) -> Verification:
        """As `facemargin.verify`, of two pictures: paths, the content of files, arrays or PIL images."""
        files = [("image_a", _content(a)), ("image_b", _content(b))]
        found = self._post("/v1/verify", files, {"fmr": fmr, "on_several": on_several})
        point = found["threshold"]
        return Verification(
            found["score"], found["quality_a"], found["quality_b"], found["decision"], _threshold(point),
            found["guarantee"], _found(found["found_a"]), _found(found["found_b"]),
        )  # fmt: skip

    def detect(self, images: GivenForm | Iterable[GivenForm]) -> list[list[Face]]:
        """The faces of each photograph, the surest first. DataError, which says why, for one that cannot be read."""
        found = self._post("/v1/detect", _files(images), {})["images"]
        _require_readable(found)
        return [[_face(face) for face in image["faces"]] for image in found]

    def embed(self, images: GivenForm | Iterable[GivenForm], *, on_several: str = "largest") -> Embeddings:
        """The vectors, norms and qualities of pictures. DataError, which says why, if one has none."""
        found = self._post("/v1/embed", _files(images), {"on_several": on_several})["images"]
        _require_readable(found)
        arrays = [np.array([image[name] for image in found], np.float32) for name in ("vector", "norm", "quality")]
        return Embeddings(*arrays)

    def quality(self, images: GivenForm | Iterable[GivenForm], *, on_several: str = "largest") -> list[dict[str, Any]]:
        """Of each picture its quality and norm, and the reasons against it."""
        found: list[dict[str, Any]] = self._post("/v1/quality", _files(images), {"on_several": on_several})["images"]
        return found

    def galleries(self) -> list[dict[str, Any]]:
        """The galleries of the service: name, people, images, how quality is used."""
        found: list[dict[str, Any]] = self._ask("GET", "/v1/galleries")["galleries"]
        return found

    def people(self, gallery: str) -> list[EnrolledPerson]:
        """Who is enrolled, in the order of enrolment."""
        return [
            EnrolledPerson(**{**person, "quality": _number(person["quality"])})
            for page in self._pages(f"{_at(gallery)}/people", _PAGE)
            for person in page["people"]
        ]

    def enrol(
        self,
        gallery: str,
        person: str,
        images: GivenForm | Iterable[GivenForm],
        *,
        gate: str | None = None,
        on_several: str = "error",
        consent: str = "",
    ) -> Enrolment:
        """As `Gallery.enrol`; without a `gate` the service's own holds."""
        fields = {"person": person, "gate": gate, "on_several": on_several, "consent": consent}
        found = self._post(f"{_at(gallery)}/people", _files(images), fields)
        outcomes = [
            EnrolmentOutcome(
                one["image"], found["person"], one["outcome"], _reasons(one["reasons"]), _number(one["quality"])
            )
            for one in found["outcomes"]
        ]
        return Enrolment(tuple(outcomes), tuple(found["not_checked"]))

    def in_review(self, gallery: str) -> list[EnrolledImage]:
        """As `Gallery.in_review`: the images that wait for `review`."""
        pages = self._pages(f"{_at(gallery)}/review", _WAITING_PAGE)
        return [_waiting(image) for page in pages for image in page["images"]]

    def review(self, gallery: str, accept: Iterable[int] = (), reject: Iterable[int] = ()) -> int:
        """As `Gallery.review`; returns how many images still wait. If one does not wait any more, nothing changes."""
        fields = [*(("accept", number) for number in accept), *(("reject", number) for number in reject)]
        return int(self._post(f"{_at(gallery)}/review", [], fields)["left"])

    def remove(self, gallery: str, *people: str) -> int:
        """As `Gallery.remove`: the number of images that were deleted."""
        query = urlencode([("person", _sent("person", person)) for person in people])
        return int(self._ask("DELETE", f"{_at(gallery)}/people?{query}")["images"])

    def identify(
        self,
        gallery: str,
        images: GivenForm | Iterable[GivenForm],
        *,
        pool: bool = False,
        candidates: int = 5,
        fpir: float | None = None,
        fmr: float | None = None,
        gate: str = "off",
        on_several: str = "largest",
    ) -> list[Identification]:
        """As `Gallery.identify`; with `pool` all pictures are of one person, and there is one answer."""
        fields = {
            "pool": str(pool).lower(), "candidates": candidates, "fpir": fpir, "fmr": fmr, "gate": gate,
            "on_several": on_several,
        }  # fmt: skip
        found = self._post(f"{_at(gallery)}/identify", _files(images), fields)
        return [_identification(answer) for answer in found["answers"]]

    def _pages(self, path: str, limit: int) -> Iterator[Any]:
        after: int | None = 0
        while after is not None:
            page = self._ask("GET", f"{path}?{urlencode({'after': after, 'limit': limit})}")
            yield page
            after = page["next"]

    def _post(
        self, path: str, files: Sequence[tuple[str, bytes]], fields: Mapping[str, object] | Sequence[tuple[str, object]]
    ) -> Any:
        given = fields.items() if isinstance(fields, Mapping) else fields
        boundary = secrets.token_hex(16)
        body = b"".join(
            [
                *(_part(boundary, name, _sent(name, value)) for name, value in given if value is not None),
                *(_part(boundary, name, content, "picture") for name, content in files),
                f"--{boundary}--\r\n".encode(),
            ]
        )
        return self._ask("POST", path, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})

    def _ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Any:
        kind = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
        sent = dict(headers or {})
        if self._key is not None:
            sent["Authorization"] = f"Bearer {self._key}"
        connection = kind(self._parts.hostname or "", self._parts.port, timeout=self._timeout)
        try:
            # it may have answered before it had read all
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, f"{self._parts.path.rstrip('/')}{path}", body, sent)
            response = connection.getresponse()
            content, status = response.read(), response.status
            found = json.loads(content)
        except (OSError, HTTPException, ValueError) as error:
            raise ServiceError(f"{self.url} cannot be reached: {error}") from error
        finally:
            connection.close()
        if status < 400:
            return found
        told = found.get("error") if isinstance(found, dict) else None
        if not isinstance(told, dict):
            raise ServiceError(f"{self.url} answered {status}, and is no service of facemargin", status=status)
        wait = response.headers.get("Retry-After")
        raise ServiceError(
            str(told.get("message")), str(told.get("code")), status, str(told.get("request_id")),
            float(wait) if wait and wait.isdecimal() else None,
        )  # fmt: skip


def _content(image: Any) -> bytes:
    """The bytes of an image file: as they are of a path or a file's content, else a PNG."""
    if isinstance(image, str | Path):
        return read_image_bytes(Path(image))
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if hasattr(image, "readline"):
        return bytes(image.read())
    return encode_png(one_image(image))


def _files(images: GivenForm | Iterable[GivenForm]) -> list[tuple[str, bytes]]:
    given: Any = images
    is_one = not isinstance(images, Iterable) or isinstance(images, str | Path | bytes | bytearray | memoryview)
    is_file = hasattr(images, "readline")
    if is_one or is_file or getattr(images, "ndim", None) in (2, 3):
        return [("images", _content(given))]
    return [("images", _content(image)) for image in given]


def _part(boundary: str, name: str, content: bytes, filename: str = "") -> bytes:
    file = f'; filename="{filename}"\r\nContent-Type: application/octet-stream' if filename else ""
    return f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"


def _sent(name: str, value: object) -> bytes:
    try:
        return str(value).encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{name} is {value!r}, which has characters that cannot be sent as UTF-8") from error


def _at(gallery: str) -> str:
    return f"/v1/galleries/{quote(_sent('gallery', gallery), safe='')}"


def _require_readable(found: Sequence[Mapping[str, Any]]) -> None:
    for image in found:
        if image["problem"] is not None:
            raise DataError(image["problem"]["words"])


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _reasons(found: Sequence[Mapping[str, str]]) -> tuple[Reason, ...]:
    return tuple(Reason(reason["code"], reason["words"]) for reason in found)


def _face(found: Mapping[str, Any]) -> Face:
    left, top, right, bottom = found["box"]
    return Face((left, top, right, bottom), found["score"], np.array(found["landmarks"], np.float64))


def _found(found: Mapping[str, Any] | None) -> FoundFace | None:
    return None if found is None else FoundFace(_face(found["face"]), found["num_faces"])


def _waiting(found: Mapping[str, Any]) -> EnrolledImage:
    return EnrolledImage(
        found["number"], found["person"], _number(found["norm"]), _number(found["quality"]), found["source"],
        int(found["digest"]), found["consent"], found["enrolled"], _reasons(found["reasons"]), True,
    )  # fmt: skip


def _threshold(found: Mapping[str, Any] | None) -> Threshold | None:
    if found is None:
        return None
    floor, estimated = found["quality_floor"], found["estimated"]
    return Threshold(
        **{
            **found,
            "quality_floor": float("-inf") if floor is None else floor,
            "estimated": None if estimated is None else tuple(estimated),
        }
    )


def _identification(found: Mapping[str, Any]) -> Identification:
    candidates = tuple(Candidate(one["person"], one["score"]) for one in found["candidates"])
    return Identification(
        tuple(found["images"]), found["decision"], found["person"], _number(found["score"]), _number(found["quality"]),
        candidates, _reasons(found["reasons"]),
    )  # fmt: skip
