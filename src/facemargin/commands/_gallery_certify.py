"""`facemargin gallery certify G FACES --fpir 0.01 --output certificate.json`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from facemargin.commands._arguments import parse
from facemargin.commands._device import check_batch_size
from facemargin.commands._gallery_model import SearchedGalleryArguments, open_gallery
from facemargin.commands._origin import say_replaced
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.counting import counted
from facemargin.data.open import open_images
from facemargin.errors import ConfigError
from facemargin.gallery.certificate import GalleryCertificate
from facemargin.gallery.rule import DEFAULT_FPIR

_REFUSED = 1


@dataclass(frozen=True, kw_only=True)
class CertifyArguments(SearchedGalleryArguments):
    """Find the threshold of a gallery whose FPIR can be promised for strangers whom nobody has tested. The exit code is
    0 if it can be certified, else 1."""

    faces: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FACES")]
    """A folder with one folder of images per person. People with the name of an enrolled person are that person, all
    others strangers, who must be drawn at random from those who will be looked for."""
    fpir: float = DEFAULT_FPIR
    """Promise that at most this share of the searches for strangers finds somebody."""
    fnir: float | None = None
    """Also promise that at most this share of the searches for enrolled people is answered with "nobody enrolled",
    which otherwise nobody is."""
    confidence: float = 0.95
    """The confidence in all promises together."""
    output: Path
    """The .json file to write. An existing file is replaced."""


def certify(arguments: Sequence[str]) -> int:
    args = parse(CertifyArguments, "gallery certify", arguments)
    check_batch_size(args.batch_size)
    if args.output.suffix != ".json":
        raise ConfigError(f"--output is {args.output}, expected a name that ends in .json")
    faces = open_images(args.faces)
    with open_gallery(args) as gallery, embedding_progress(Console(stderr=True), faces.name, "looking for") as progress:
        found = gallery.certify(
            faces,
            args.fpir,
            fnir=args.fnir,
            confidence=args.confidence,
            batch_size=args.batch_size,
            progress=progress,
        )
    say_replaced(args.output)
    found.save(args.output)
    _say(found, args.output)
    return 0 if found.promises else _REFUSED


def _say(found: GalleryCertificate, output: Path) -> None:
    rule = found.rule()
    for text in () if rule is None else rule.words:
        say(text)
    for text in found.refusals:
        say(f"refused: {text}")
    for name, rate in (("FPIR", found.fpir), ("FNIR", found.fnir)):
        if rate is not None and rate.observed is not None:
            people, searches = counted(rate.people, "person", "people"), counted(rate.searches, "search", "searches")
            say(f"{name} of these {people}, in {searches}: {100 * rate.observed:.3g} %")
    if found.unusable:
        verb = "is" if found.unusable == 1 else "are"
        say(f"{counted(found.unusable, 'image')} without a face that can be read {verb} behind no promise")
    say(f"{output}; the promise ends with the next change of the gallery")
