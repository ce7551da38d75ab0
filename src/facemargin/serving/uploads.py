"""The fields and pictures of a request. Pictures stay in memory: nothing of a request is ever written to a file, and no
name that it gives is opened."""

from collections.abc import Sequence
from typing import Any, TypeVar, get_origin

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from facemargin.data.images.decode import decode_image
from facemargin.data.images.kind import image_suffix
from facemargin.data.images.size import stated_pixels
from facemargin.data.source import ImageSource, RGBImage
from facemargin.errors import CorruptImageError
from facemargin.serving.errors import RequestError, value_words
from facemargin.serving.settings import ServiceSettings

Form = TypeVar("Form", bound=BaseModel)

MOST_FIELDS = 20
MOST_TICKED = 2000
"""Fields of a form in which images are chosen."""
_LONGEST_FIELD = 1 << 16


class _InMemory(MultiPartParser):
    """Keeps files in memory, whose size the limit of the body bounds, and takes no text that is not UTF-8."""

    spool_max_size = 0  # SpooledTemporaryFile: never to the disk

    def on_part_end(self) -> None:
        if self._current_part.file is None:
            try:
                self._current_part.data.decode()
            except UnicodeDecodeError as error:
                raise MultiPartException("a field is not UTF-8") from error
        super().on_part_end()


async def read_form(
    request: Request, form: type[Form], settings: ServiceSettings, max_fields: int = MOST_FIELDS
) -> Form:
    """The multipart fields of a request, at most so many. RequestError, which names the field, for any that do not
    fit."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RequestError(415, "not_multipart", "the body must be multipart/form-data, with pictures as its files")
    parser = _InMemory(
        request.headers,
        request.stream(),
        max_files=settings.max_images,
        max_fields=max_fields,
        max_part_size=_LONGEST_FIELD,
    )
    try:
        parsed = await parser.parse()
    except (MultiPartException, UnicodeError, LookupError) as error:
        words = str(getattr(error, "message", "its fields cannot be read"))
        raise RequestError(400, "bad_multipart", f"the multipart body is not valid: {_plain(words)}") from error
    try:
        values: dict[str, list[Any]] = {}
        for name, value in parsed.multi_items():
            values.setdefault(name, []).append(value)
        return _checked(form, values)
    finally:
        await parsed.close()


def _checked(form: type[Form], values: dict[str, list[Any]]) -> Form:
    known = {field.alias or name: field for name, field in form.model_fields.items()}
    found: dict[str, Any] = {}
    for name, given in values.items():
        if name not in known:
            words = f"there is no field {name[:100]!r}; expected are {', '.join(known)}"
            raise RequestError(422, "unknown_field", words)
        of_files = known[name].annotation in (bytes, list[bytes])
        if any(isinstance(value, UploadFile) != of_files for value in given):
            kind = "a file, with a filename" if of_files else "a text, without a filename"
            raise RequestError(422, "invalid_value", f"{name} must be sent as {kind}")
        several = get_origin(known[name].annotation) is list
        if len(given) > 1 and not several:
            raise RequestError(422, "invalid_value", f"{name} is given {len(given)} times, expected once")
        contents = [value.file.read() if of_files else value for value in given]
        found[name] = contents if several else contents[0]
    try:
        return form.model_validate(found)
    except ValidationError as error:
        raise RequestError(422, "invalid_value", value_words(error.errors(include_input=False))) from error


def form_schema(form: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of a body that `read_form` reads."""
    schema = form.model_json_schema()
    for field in schema.get("properties", {}).values():
        for part in (field, field.get("items", {})):
            if part.get("format") == "binary":
                part.pop("title", None)
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


class UploadedImages(ImageSource):
    """The contents of image files, called by the names of their fields, decoded when they are read. A picture that
    states more than `max_pixels` is refused before memory is taken for it."""

    threadsafe = True

    def __init__(self, contents: Sequence[bytes], names: Sequence[str], max_pixels: int) -> None:
        self.name = "the pictures of the request"
        self._contents, self._names, self._max_pixels = contents, names, max_pixels

    def __len__(self) -> int:
        return len(self._contents)

    def read(self, index: int) -> RGBImage:
        content, name = self._contents[index], self._names[index]
        pixels = stated_pixels(content)
        if pixels is not None and pixels > self._max_pixels:
            raise CorruptImageError(
                f"{name}: the picture has {pixels:,} pixels, at most {self._max_pixels:,} are taken here: send a "
                "smaller one, or ask the operator (--max-pixels)"
            )
        if pixels is None and image_suffix(content) is not None:
            raise CorruptImageError(f"{name}: the picture does not state its width and height")
        return decode_image(content, name)

    def describe(self, index: int) -> str:
        return self._names[index]


def _plain(words: str) -> str:
    return words[:1].lower() + words[1:].rstrip(".")


def numbered(contents: Sequence[bytes], max_pixels: int) -> UploadedImages:
    """The pictures of a form's field `images`, called by their places in it."""
    return UploadedImages(contents, [f"images[{place}]" for place in range(len(contents))], max_pixels)
