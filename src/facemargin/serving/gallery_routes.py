"""The addresses about galleries: their people, and who a picture shows."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from facemargin.serving import reviewing, searching
from facemargin.serving.access import allowed, known_query, service_of
from facemargin.serving.answers import (
    ERRORS,
    EnrolAnswer,
    GalleriesAnswer,
    IdentifyAnswer,
    PeopleAnswer,
    RemoveAnswer,
    ReviewAnswer,
    WaitingAnswer,
    WaitingPage,
)
from facemargin.serving.face_routes import OnSeveral, Reader
from facemargin.serving.logs import noted
from facemargin.serving.service import Caller
from facemargin.serving.uploads import MOST_TICKED, UploadedImages, form_schema, numbered, read_form

Writer = Annotated[Caller, Depends(allowed("write"))]

router = APIRouter(prefix="/v1/galleries", tags=["galleries"], responses=ERRORS, dependencies=[Depends(known_query)])


class EnrolForm(BaseModel):
    """Pictures of one person."""

    model_config = ConfigDict(extra="forbid")
    person: str = Field(description="the name of the person in all pictures, of at most 200 characters")
    images: list[bytes] = Field(min_length=1, description="pictures of the person")
    gate: Literal["off", "warn", "refuse", "review"] | None = Field(
        None, description="what happens to a picture with reasons against it; the operator says which may be chosen"
    )
    on_several: OnSeveral = "error"
    consent: str = Field("", description="a note that is kept with every picture, of at most 1,000 characters")


class IdentifyForm(BaseModel):
    """Pictures of unknown people."""

    model_config = ConfigDict(extra="forbid")
    images: list[bytes] = Field(min_length=1, description="pictures")
    pool: bool = Field(False, description="all pictures are of one person: one answer, pooled by quality")
    candidates: int = Field(5, ge=1, le=100, description="how many of the most alike")
    fpir: float | None = Field(None, description="the share of searches for strangers that may find somebody")
    fmr: float | None = Field(None, description="instead of fpir: the false match rate of a single comparison")
    gate: Literal["off", "refuse"] = "off"
    on_several: OnSeveral = "largest"


class ReviewForm(BaseModel):
    """The numbers of images in review."""

    model_config = ConfigDict(extra="forbid")
    accept: list[int] = Field([], description="these count from now on")
    reject: list[int] = Field([], description="these are deleted with their vectors")


@router.get("")
async def galleries(request: Request, caller: Reader) -> GalleriesAnswer:
    """The galleries of this service."""
    service = service_of(request)
    async with service.turns.turn(request.receive) as turn:
        return GalleriesAnswer(galleries=await turn.work(lambda: searching.list_galleries(service)))


@router.get("/{name}/people")
async def people(
    request: Request,
    name: str,
    caller: Reader,
    after: Annotated[int, Query(ge=0, le=1 << 62)] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> PeopleAnswer:
    """Who is enrolled, in the order of enrolment."""
    service, request_id = service_of(request), request.state.request_id
    served = service.gallery(name)
    async with service.turns.turn(request.receive) as turn:
        return await turn.work(lambda: searching.list_people(service, caller, request_id, served, after, limit))


@router.post("/{name}/people", openapi_extra=form_schema(EnrolForm))
async def enrol(request: Request, name: str, caller: Writer) -> EnrolAnswer:
    """Enrol a person by pictures, through the gate, as facemargin gallery enrol does."""
    service, request_id = service_of(request), request.state.request_id
    served = service.gallery(name)
    async with service.turns.turn(request.receive) as turn:
        form = await read_form(request, EnrolForm, service.settings)
        gate = searching.gate_of(service, form.gate)
        person = searching.checked_name(form.person)
        names = [f"images[{place}] of request {request_id}" for place in range(len(form.images))]
        pictures = UploadedImages(form.images, names, service.settings.max_pixels)

        def job() -> EnrolAnswer:
            with noted() as notes:
                done = searching.enrol(
                    service, caller, request_id, served, pictures, person, gate, form.on_several, form.consent
                )
            return EnrolAnswer.of(done, person, request_id, notes)

        return await turn.work(job)


@router.delete("/{name}/people")
async def remove(
    request: Request, name: str, caller: Writer, person: Annotated[list[str], Query(min_length=1, max_length=100)]
) -> RemoveAnswer:
    """Delete people with all their vectors: person=NAME, once or several times. If one is not enrolled, nobody is
    deleted."""
    service, request_id = service_of(request), request.state.request_id
    served = service.gallery(name)
    async with service.turns.turn(request.receive) as turn:
        return await turn.work(lambda: searching.remove(service, caller, request_id, served, person))


@router.get("/{name}/review")
async def in_review(
    request: Request,
    name: str,
    caller: Reader,
    after: Annotated[int, Query(ge=0, le=1 << 62)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> WaitingPage:
    """Images that the gate kept for review, which do not count before somebody has accepted them."""
    service, request_id = service_of(request), request.state.request_id
    served = service.gallery(name)

    def job() -> WaitingPage:
        images, following = reviewing.waiting(service, caller, request_id, served, after, limit)
        total = served.gallery.counts()[2]
        waiting = [WaitingAnswer.of(image) for image in images]
        return WaitingPage(request_id=request_id, total=total, images=waiting, next=following)

    async with service.turns.turn(request.receive) as turn:
        return await turn.work(job)


@router.post("/{name}/review", openapi_extra=form_schema(ReviewForm))
async def review(request: Request, name: str, caller: Writer) -> ReviewAnswer:
    """Accept images in review, or delete them: accept=NUMBER and reject=NUMBER, once or several times. If one does not
    wait any more, nothing is decided."""
    service, request_id = service_of(request), request.state.request_id
    served = service.gallery(name)
    async with service.turns.turn(request.receive) as turn:
        form = await read_form(request, ReviewForm, service.settings, MOST_TICKED)
        accept, reject = list(dict.fromkeys(form.accept)), list(dict.fromkeys(form.reject))
        left = await turn.work(lambda: reviewing.decide(service, caller, request_id, served, accept, reject))
    return ReviewAnswer(request_id=request_id, accepted=len(accept), rejected=len(reject), left=left)


@router.post("/{name}/identify", openapi_extra=form_schema(IdentifyForm))
async def identify(request: Request, name: str, caller: Reader) -> IdentifyAnswer:
    """Who pictures show, as facemargin gallery identify says it. Nobody is enrolled by it."""
    service, request_id = service_of(request), request.state.request_id
    served = service.gallery(name)
    async with service.turns.turn(request.receive) as turn:
        form = await read_form(request, IdentifyForm, service.settings)
        pictures = numbered(form.images, service.settings.max_pixels)
        options = searching.SearchOptions(
            form.pool, form.candidates, form.fpir, form.fmr, form.gate == "refuse", form.on_several
        )

        def job() -> IdentifyAnswer:
            with noted() as notes:
                rule, answers = searching.identify(service, caller, request_id, served, pictures, options)
            return searching.answer_of(served, rule, answers, request_id, notes)

        return await turn.work(job)
