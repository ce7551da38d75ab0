"""The addresses of the pages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from facemargin.serving import searching
from facemargin.serving.access import service_of
from facemargin.serving.errors import RequestError, keys_are_readable
from facemargin.serving.logs import noted
from facemargin.serving.pages import people
from facemargin.serving.pages.compare import compare, rates
from facemargin.serving.pages.forms import (
    CompareForm,
    EnrolForm,
    LoginForm,
    PageForm,
    PersonForm,
    ReviewForm,
    SearchForm,
)
from facemargin.serving.pages.page_route import PageRoute
from facemargin.serving.pages.render import STATIC, page, set_cookie, static_type
from facemargin.serving.pages.reports import POLICY, Reports
from facemargin.serving.pages.sessions import COOKIE, Sessions
from facemargin.serving.pages.visitor import Visitor, identity_of, sessions_of, visiting
from facemargin.serving.service import ServedGallery, Service
from facemargin.serving.uploads import MOST_FIELDS, MOST_TICKED, UploadedImages, read_form

Reader = Annotated[Visitor, Depends(visiting("read"))]
Writer = Annotated[Visitor, Depends(visiting("write"))]


Form = TypeVar("Form", bound=PageForm)

router = APIRouter(route_class=PageRoute, include_in_schema=False)


def add_pages(app: FastAPI, reports: Mapping[str, Path] | None = None) -> None:
    """Give the app its pages. `reports`: folders with pages of reports and audits, by the names that are shown."""
    app.state.sessions, app.state.reports = Sessions(), Reports(reports)
    app.include_router(router)


@router.get("/")
async def compare_page(request: Request, visitor: Reader) -> HTMLResponse:
    return page(request, visitor, "compare.html.jinja", rates=rates(service_of(request)), found=None, form=None)


@router.post("/")
async def compare_two(request: Request, visitor: Reader) -> HTMLResponse:
    service = service_of(request)
    async with service.turns.turn() as turn:
        form = await _sent(request, visitor.identity, CompareForm)
        if not form.image_a or not form.image_b:
            raise RequestError(422, "no_picture", "choose two photographs, and send them again")
        contents = [form.image_a, form.image_b]
        found = await turn.work(lambda: compare(service, contents, form.fmr, form.on_several))
    return page(request, visitor, "compare.html.jinja", rates=rates(service), found=found, form=form)


@router.get("/galleries")
async def galleries_page(request: Request, visitor: Reader) -> HTMLResponse:
    service = service_of(request)
    async with service.turns.turn() as turn:
        found = await turn.work(lambda: searching.list_galleries(service))
    return page(request, visitor, "galleries.html.jinja", found=found)


@router.get("/galleries/{name}")
async def gallery_page(
    request: Request,
    name: str,
    visitor: Reader,
    offset: Annotated[int, Query(ge=0, le=1 << 40)] = 0,
    find: Annotated[str, Query(max_length=200)] = "",
) -> HTMLResponse:
    return await _gallery(request, name, visitor, offset=offset, find=find)


async def _gallery(request: Request, name: str, visitor: Visitor, offset: int = 0, find: str = "") -> HTMLResponse:
    service = service_of(request)
    served, who = _served(service, name), _who(request, visitor)
    async with service.turns.turn() as turn:
        view = await turn.work(lambda: people.view(who, served, offset, find))
    return page(request, visitor, "gallery.html.jinja", view=view, find=find, page_size=people.PAGE)


@router.get("/galleries/{name}/search")
async def search_page(request: Request, name: str, visitor: Reader) -> HTMLResponse:
    served = _served(service_of(request), name)
    return page(request, visitor, "search.html.jinja", served=served, found=None, form=None)


@router.post("/galleries/{name}/search")
async def search(request: Request, name: str, visitor: Reader) -> HTMLResponse:
    service = service_of(request)
    served, who = _served(service, name), _who(request, visitor)
    async with service.turns.turn() as turn:
        form = await _sent(request, visitor.identity, SearchForm)
        contents = _chosen(form.images)
        names = [_numbered(place, len(contents)) for place in range(len(contents))]
        pictures = UploadedImages(contents, names, service.settings.max_pixels)
        found = await turn.work(
            lambda: people.search(who, served, pictures, form.pool == "yes", form.gate == "refuse", form.on_several)
        )
    return page(request, visitor, "search.html.jinja", served=served, found=found, form=form)


@router.get("/galleries/{name}/enrol")
async def enrol_page(request: Request, name: str, visitor: Writer) -> HTMLResponse:
    service = service_of(request)
    served, gates = _served(service, name), service.settings.gates
    return page(request, visitor, "enrol.html.jinja", served=served, gates=gates, done=None, form=None, notes=[])


@router.post("/galleries/{name}/enrol")
async def enrol(request: Request, name: str, visitor: Writer) -> HTMLResponse:
    service = service_of(request)
    served, request_id = _served(service, name), request.state.request_id
    async with service.turns.turn() as turn:
        form = await _sent(request, visitor.identity, EnrolForm)
        gate, person = searching.gate_of(service, form.gate), searching.checked_name(form.person)
        contents = _chosen(form.images)
        names = [f"photograph {place + 1} of request {request_id}" for place in range(len(contents))]
        pictures = UploadedImages(contents, names, service.settings.max_pixels)

        def job() -> tuple[Any, list[str]]:
            with noted() as notes:
                done = searching.enrol(
                    service, visitor.caller, request_id, served, pictures, person, gate, form.on_several, form.consent
                )
            return done, notes

        done, notes = await turn.work(job)
    gates = service.settings.gates
    return page(request, visitor, "enrol.html.jinja", served=served, gates=gates, done=done, form=form, notes=notes)


@router.get("/galleries/{name}/review")
async def review_page(
    request: Request, name: str, visitor: Reader, after: Annotated[int, Query(ge=0, le=1 << 62)] = 0
) -> HTMLResponse:
    return await _review(request, name, visitor, after=after)


@router.post("/galleries/{name}/review")
async def review(request: Request, name: str, visitor: Writer) -> HTMLResponse:
    service = service_of(request)
    served, who = _served(service, name), _who(request, visitor)
    async with service.turns.turn() as turn:
        form = await _sent(request, visitor.identity, ReviewForm, MOST_TICKED)
        done = await turn.work(lambda: people.review(who, served, form.accept, form.reject))
    return await _review(request, name, visitor, done)


async def _review(request: Request, name: str, visitor: Visitor, done: str = "", after: int = 0) -> HTMLResponse:
    service = service_of(request)
    served, who = _served(service, name), _who(request, visitor)
    async with service.turns.turn() as turn:
        images, following = await turn.work(lambda: people.waiting(who, served, after))
    return page(
        request, visitor, "review.html.jinja", served=served, images=images, done=done, after=after, following=following
    )


@router.get("/galleries/{name}/person")
async def person_page(
    request: Request, name: str, visitor: Reader, person: Annotated[str, Query(min_length=1)]
) -> HTMLResponse:
    return await _person(request, name, visitor, person, "")


@router.post("/galleries/{name}/person")
async def change_person(request: Request, name: str, visitor: Writer) -> HTMLResponse:
    service = service_of(request)
    served, who = _served(service, name), _who(request, visitor)
    async with service.turns.turn() as turn:
        form = await _sent(request, visitor.identity, PersonForm, MOST_TICKED)
        done = await turn.work(
            lambda: people.change_person(who, served, form.action, form.person, form.numbers, form.other)
        )
    shown = form.other if form.action == "merge" else form.person
    return await _person(request, name, visitor, shown, done)


async def _person(request: Request, name: str, visitor: Visitor, person: str, done: str) -> HTMLResponse:
    service = service_of(request)
    served, who = _served(service, name), _who(request, visitor)
    async with service.turns.turn() as turn:
        images = await turn.work(lambda: _images(who, served, person, done))
    return page(request, visitor, "person.html.jinja", served=served, person=person, images=images, done=done)


def _images(who: people.Who, served: Any, person: str, done: str) -> list[Any]:
    """Those of a person; none of one who was just deleted."""
    if done and not served.gallery.enrolled([person])[0]:
        return []
    return people.person_images(who, served, person)


@router.get("/reports")
async def reports_page(request: Request, visitor: Reader) -> HTMLResponse:
    reports: Reports = request.app.state.reports
    service = service_of(request)
    async with service.turns.turn() as turn:
        found = await turn.work(lambda: {name: reports.files(name) for name in reports.folders})
    return page(request, visitor, "reports.html.jinja", found=found)


@router.get("/reports/{folder}/{name:path}")
async def report(request: Request, folder: str, name: str, visitor: Reader) -> Response:
    reports: Reports = request.app.state.reports
    service = service_of(request)
    async with service.turns.turn() as turn:
        content = await turn.work(lambda: reports.read(folder, name))
    if content is None:
        raise RequestError(404, "not_found", "there is no such report: the list of reports has those there are")
    headers = {"Content-Security-Policy": POLICY, "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin"}
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)


@router.get("/login")
async def login_page(request: Request) -> Response:
    if service_of(request).keys is None:
        return RedirectResponse("/", 303)
    return page(request, None, "login.html.jinja", identity=identity_of(request)[0], problem="")


@router.post("/login")
async def login(request: Request) -> Response:
    service, sessions = service_of(request), sessions_of(request)
    if service.keys is None:
        return RedirectResponse("/", 303)
    identity, _ = identity_of(request)
    async with service.turns.turn():
        form = await _sent(request, identity, LoginForm)
    with keys_are_readable():
        key = service.keys.find(form.key.strip())
    if key is None:
        problem = "This is no valid key. The operator creates keys with facemargin serve key."
        return page(request, None, "login.html.jinja", 401, identity=identity, problem=problem)
    sessions.log_out(identity)
    response = RedirectResponse("/", 303)
    set_cookie(request, response, sessions.log_in(key))
    return response


@router.post("/logout")
async def logout(request: Request, visitor: Reader) -> Response:
    service, sessions = service_of(request), sessions_of(request)
    async with service.turns.turn():
        await _sent(request, visitor.identity, LoginForm)
    sessions.log_out(visitor.identity)
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return response


@router.get("/static/{name}")
async def static(name: str) -> Response:
    if name not in STATIC:
        raise HTTPException(404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(STATIC[name], media_type=static_type(name), headers=headers)


async def _sent(request: Request, identity: str, form_type: type[Form], most_fields: int = MOST_FIELDS) -> Form:
    """The form that was sent, with the token of the visitor. RequestError for another one."""
    form = await read_form(request, form_type, service_of(request).settings, most_fields)
    sessions_of(request).require_token(identity, form.token)
    return form


def _served(service: Service, name: str) -> ServedGallery:
    if name not in service.galleries:
        raise RequestError(404, "no_such_gallery", "there is no gallery of this name")
    return service.galleries[name]


def _who(request: Request, visitor: Visitor) -> people.Who:
    return people.Who(service_of(request), visitor.caller, request.state.request_id)


def _chosen(images: list[bytes]) -> list[bytes]:
    """RequestError if there is none: browsers send an empty file where none was chosen."""
    contents = [content for content in images if content]
    if not contents:
        raise RequestError(422, "no_picture", "choose at least one photograph, and send it again")
    return contents


def _numbered(place: int, number: int) -> str:
    return "the photograph" if number == 1 else f"photograph {place + 1}"
