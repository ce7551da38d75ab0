"""The addresses about pictures: /v1/verify, /v1/detect, /v1/embed, /v1/quality."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from facemargin.serving.access import allowed, service_of
from facemargin.serving.answers import (
    ERRORS,
    DetectAnswer,
    EmbedAnswer,
    QualityAnswer,
    VerifyAnswer,
)
from facemargin.serving.faces import detect_faces, embed_pictures, rate_pictures, verify_pictures
from facemargin.serving.logs import noted
from facemargin.serving.service import Caller
from facemargin.serving.uploads import UploadedImages, form_schema, read_form

OnSeveral = Literal["largest", "central", "error"]
"""Which face of a photograph with several is used; "error" refuses the photograph."""

Reader = Annotated[Caller, Depends(allowed("read"))]

router = APIRouter(prefix="/v1", tags=["pictures"], responses=ERRORS)


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
    service = service_of(request)
    async with service.turns.turn(request.receive) as turn:
        form = await read_form(request, DetectForm, service.settings)
        pictures = _numbered(form.images, service.settings.max_pixels)

        def job() -> DetectAnswer:
            with noted() as notes:
                images = detect_faces(service, pictures)
            return DetectAnswer(request_id=request.state.request_id, notes=notes, images=images)

        return await turn.work(job)


@router.post("/embed", openapi_extra=form_schema(ImagesForm))
async def embed(request: Request, caller: Reader) -> EmbedAnswer:
    """The vectors, norms and qualities of pictures. Vectors of faces are personal data."""
    service = service_of(request)
    async with service.turns.turn(request.receive) as turn:
        form = await read_form(request, ImagesForm, service.settings)
        pictures = _numbered(form.images, service.settings.max_pixels)

        def job() -> EmbedAnswer:
            with noted() as notes:
                images = embed_pictures(service, pictures, form.on_several)
            return EmbedAnswer(request_id=request.state.request_id, notes=notes, images=images)

        return await turn.work(job)


@router.post("/quality", openapi_extra=form_schema(ImagesForm))
async def quality(request: Request, caller: Reader) -> QualityAnswer:
    """How good pictures are for recognition, and what their faces fail."""
    service = service_of(request)
    async with service.turns.turn(request.receive) as turn:
        form = await read_form(request, ImagesForm, service.settings)
        pictures = _numbered(form.images, service.settings.max_pixels)

        def job() -> QualityAnswer:
            with noted() as notes:
                images = rate_pictures(service, pictures, form.on_several)
            return QualityAnswer(
                request_id=request.state.request_id, notes=notes, quality_words=service.quality_words, images=images
            )

        return await turn.work(job)


def _numbered(contents: list[bytes], max_pixels: int) -> UploadedImages:
    return UploadedImages(contents, [f"images[{place}]" for place in range(len(contents))], max_pixels)
