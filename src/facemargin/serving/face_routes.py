"""The addresses about pictures: /v1/verify, /v1/detect, /v1/embed, /v1/quality."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Literal, TypeVar

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from facemargin.serving.access import allowed, known_query, service_of
from facemargin.serving.answers import (
    ERRORS,
    DetectAnswer,
    EmbedAnswer,
    QualityAnswer,
    VerifyAnswer,
)
from facemargin.serving.faces import detect_faces, embed_pictures, rate_pictures, verify_pictures
from facemargin.serving.logs import noted
from facemargin.serving.service import Caller, Service
from facemargin.serving.uploads import UploadedImages, form_schema, numbered, read_form

OnSeveral = Literal["largest", "central", "error"]
"""Which face of a photograph with several is used; "error" refuses the photograph."""

Reader = Annotated[Caller, Depends(allowed("read"))]

Answer = TypeVar("Answer")

router = APIRouter(prefix="/v1", tags=["pictures"], responses=ERRORS, dependencies=[Depends(known_query)])


class VerifyForm(BaseModel):
    """Two pictures."""

    model_config = ConfigDict(extra="forbid")
    image_a: bytes = Field(description="a picture")
    image_b: bytes = Field(description="the other picture")
    fmr: float | None = Field(None, description="the allowed false match rate, with a calibration; by default 0.001")
    on_several: OnSeveral = "largest"


class ImagesForm(BaseModel):
    """Pictures."""

    model_config = ConfigDict(extra="forbid")
    images: list[bytes] = Field(min_length=1, description="pictures")
    on_several: OnSeveral = "largest"


class DetectForm(BaseModel):
    """Photographs."""

    model_config = ConfigDict(extra="forbid")
    images: list[bytes] = Field(min_length=1, description="photographs")


Form = TypeVar("Form", ImagesForm, DetectForm)


@router.post("/verify", openapi_extra=form_schema(VerifyForm))
async def verify(request: Request, caller: Reader) -> VerifyAnswer:
    """Whether two pictures show the same person, as facemargin verify says it."""
    service = service_of(request)
    async with service.turns.turn(request.receive) as turn:
        form = await read_form(request, VerifyForm, service.settings)
        pictures = UploadedImages([form.image_a, form.image_b], ["image_a", "image_b"], service.settings.max_pixels)

        def job() -> VerifyAnswer:
            with noted() as notes:
                result, doubts = verify_pictures(service, pictures, form.fmr, form.on_several)
            return VerifyAnswer.of(result, service.quality_words, request.state.request_id, doubts + notes)

        return await turn.work(job)


@router.post("/detect", openapi_extra=form_schema(DetectForm))
async def detect(request: Request, caller: Reader) -> DetectAnswer:
    """The faces in photographs, the surest first."""
    return await _of_pictures(request, DetectForm, lambda service, seen, _: detect_faces(service, seen), DetectAnswer)


@router.post("/embed", openapi_extra=form_schema(ImagesForm))
async def embed(request: Request, caller: Reader) -> EmbedAnswer:
    """The vectors, norms and qualities of pictures. Vectors of faces are personal data."""
    return await _of_pictures(
        request, ImagesForm, lambda service, seen, form: embed_pictures(service, seen, form.on_several), EmbedAnswer
    )


@router.post("/quality", openapi_extra=form_schema(ImagesForm))
async def quality(request: Request, caller: Reader) -> QualityAnswer:
    """How good pictures are for recognition, and what their faces fail."""
    answer = partial(QualityAnswer, quality_words=service_of(request).quality_words)
    return await _of_pictures(
        request, ImagesForm, lambda service, seen, form: rate_pictures(service, seen, form.on_several), answer
    )


async def _of_pictures(
    request: Request,
    form_type: type[Form],
    look: Callable[[Service, UploadedImages, Form], Sequence[object]],
    answer: Callable[..., Answer],
) -> Answer:
    """What `look` says of the pictures of a form, in a turn, and what was warned of meanwhile."""
    service = service_of(request)
    async with service.turns.turn(request.receive) as turn:
        form = await read_form(request, form_type, service.settings)
        pictures = numbered(form.images, service.settings.max_pixels)

        def job() -> Answer:
            with noted() as notes:
                images = look(service, pictures, form)
            return answer(request_id=request.state.request_id, notes=notes, images=images)

        return await turn.work(job)
