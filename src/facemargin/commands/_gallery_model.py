"""The gallery and its model, for the actions of `facemargin gallery`."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from facemargin.commands._device import ComputingArguments, load_on_device
from facemargin.decision.calibration import Calibration
from facemargin.decision.certificate import Certificate
from facemargin.gallery.certificate import FORMAT as GALLERY_FORMAT
from facemargin.gallery.certificate import GalleryCertificate
from facemargin.gallery.gallery import Gallery


@dataclass(frozen=True, kw_only=True)
class GalleryArguments:
    """Which gallery."""

    gallery: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="G")]
    """The folder of the gallery; or milvus:PATH.db or milvus:http://HOST:19530/NAME, a gallery in Milvus."""


@dataclass(frozen=True, kw_only=True)
class SearchedGalleryArguments(GalleryArguments, ComputingArguments):
    """A gallery whose model computes."""

    model: Path | None = None
    """The model of the gallery, if it lies elsewhere now, or is FILE.py:NAME, a network of your own, which is run only
    when you name it. Another model is refused."""
    calibration: Path | None = None
    """The file that facemargin calibrate wrote for this model. Without it, a released model may have thresholds that
    come with facemargin."""
    batch_size: int | None = None
    """Number of images to embed at a time. The default is 64 on the CPU and 256 on a GPU."""


def open_gallery(args: SearchedGalleryArguments, certificate: Path | None = None) -> Gallery:
    """The gallery with its model on the chosen device, and with the thresholds that are given."""
    with Gallery(args.gallery) as closed:
        name = closed.binding.model
        if args.model is None:
            closed.require_named_model()
    model = load_on_device(args.model or name, args)
    calibration = None if args.calibration is None else Calibration.load(args.calibration)
    given = None if certificate is None else _certificate(certificate)
    return Gallery(args.gallery, model, calibration=calibration, certificate=given)


def _certificate(path: Path) -> Certificate | GalleryCertificate:
    """Of pairs, or of this gallery, as the file says."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if GALLERY_FORMAT in path.read_text(encoding="utf-8")[:200]:
            return GalleryCertificate.load(path)
    return Certificate.load(path)
