"""The service as an ASGI application."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Depends, FastAPI, Response

from facemargin.decision.calibration import Calibration
from facemargin.decision.certificate import Certificate
from facemargin.detection.detector import Detector
from facemargin.gallery.certificate import GalleryCertificate
from facemargin.models.model import Model
from facemargin.serving import face_routes, gallery_routes
from facemargin.serving.access import allowed
from facemargin.serving.answers import HealthAnswer
from facemargin.serving.audit_log import AuditLog
from facemargin.serving.edge import Edge
from facemargin.serving.errors import add_error_handlers
from facemargin.serving.keys import KeyFile
from facemargin.serving.pages import add_pages
from facemargin.serving.service import Service
from facemargin.serving.settings import ServiceSettings
from facemargin.version import __version__


def create_app(
    model: Model,
    *,
    model_name: str = "",
    galleries: Mapping[str, Path | str] | None = None,
    calibration: Calibration | None = None,
    certificate: Certificate | None = None,
    gallery_certificates: Mapping[str, GalleryCertificate] | None = None,
    detector: Detector | None = None,
    detect: bool = False,
    keys: KeyFile | None = None,
    audit_log: AuditLog | None = None,
    settings: ServiceSettings | None = None,
    reports: Mapping[str, Path] | None = None,
) -> FastAPI:
    """The service for a `model`, which uvicorn or any other ASGI server runs; `facemargin serve` does. It computes with
    the weights that the model has now, whatever becomes of them.

    `galleries`: folders by the names under which clients know them, which must be of this model. `calibration` or
    `certificate` decide, here and in the galleries; without them a released model may have a calibration of its own.
    `gallery_certificates`: what is promised of a gallery, by its name. `detector` finds faces for /v1/detect and, with
    `detect`, in every picture that is not for a gallery (whose own binding says how). `keys`: who may do what; without
    them everybody who reaches the service may do everything. `audit_log`: where searches and changes are recorded.
    `model_name`: by which its quality check is found.

    `reports`: folders with pages of reports and audits, by the names under which they are shown.
    Pages are another router: `app.include_router(...)`. `app.state.service` is the `Service` with the model, galleries
    and turns, and `allowed("read")` of `facemargin.serving.access` is the dependency that asks for a key. The edge,
    which is around all of it, gives ids, limits and headers to pages, too; a header that a page sets itself stays.
    Work is done in a turn, as the routes do: `async with service.turns.turn(request.receive) as turn: await
    turn.work(job)`.

    Raises ConfigError, with the reason, for a gallery, calibration or certificate of another model.
    """
    service = Service(
        model,
        model_name=model_name,
        galleries=galleries,
        calibration=calibration,
        certificate=certificate,
        gallery_certificates=gallery_certificates,
        detector=detector,
        detect=detect,
        keys=keys,
        audit_log=audit_log,
        settings=settings,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="facemargin",
        version=__version__,
        description="Face recognition that knows how good its pictures are.",
        openapi_url="/v1/openapi.json",
        docs_url=None,  # its page loads its program from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    add_error_handlers(app)
    app.include_router(face_routes.router)
    app.include_router(gallery_routes.router)

    @app.get("/healthz", tags=["operation"])
    async def health() -> HealthAnswer:
        """Whether the service runs."""
        return HealthAnswer(version=__version__)

    @app.get("/metrics", tags=["operation"], dependencies=[Depends(allowed("read"))])
    async def metrics() -> Response:
        """The counts of the service, for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    add_pages(app, reports)
    app.add_middleware(Edge, service=service)
    return app
