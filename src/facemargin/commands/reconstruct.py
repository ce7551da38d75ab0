"""`facemargin reconstruct MODEL IMAGES… --output FOLDER`. Shapes: N images, H × W pixels, C colours (RGB)."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.text import Text

from facemargin.commands._arguments import parse
from facemargin.commands._device import DeviceArguments, load_on_device
from facemargin.commands._embedding import warn_of_unreadable
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.counting import none_readable
from facemargin.data.formats.named_images import NamedImages
from facemargin.data.images.pixels import normalize, resize_square, to_tensor
from facemargin.data.source import ArrayImages, ImageSource, RGBImage
from facemargin.data.squareness import SquashingTold, squashed_counted
from facemargin.errors import DataError, ImageError
from facemargin.files.atomic import write_atomically
from facemargin.models.model import Model, Progress
from facemargin.reconstruction import Reconstruction
from facemargin.report import ReconstructionPictures, reconstruction_pictures
from facemargin.report.png import png_bytes
from facemargin.report.wording import angle_text, psnr_text
from facemargin.tables import Table

ARRAYS_FILE = "reconstructions.npz"


@dataclass(frozen=True)
class Arguments(DeviceArguments):
    """Reconstruct depth, albedo, light and view of faces. Writes a strip of pictures for each image, and a file of
    arrays."""

    model: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """A run folder or a model file, trained with a reconstruction."""
    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGES …")]
    """Image files and folders of images at any depth. Faces must be aligned as in training."""
    output: Path
    """The output folder. Files with the same names are replaced."""


@dataclass(frozen=True)
class _Reconstructed:
    """`names` (see NamedImages), reconstructions and pictures of the readable images, and the errors of the others."""

    names: list[str] = field(default_factory=list)
    reconstructions: list[Reconstruction] = field(default_factory=list)
    pictures: list[ReconstructionPictures] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "reconstruct", arguments)
    images = NamedImages(args.images)
    model = load_on_device(args.model, args)
    progressing = embedding_progress(Console(stderr=True), images.name, "reconstructing")
    with squashed_counted(images) as source, progressing as progress:
        reconstructed = _reconstruct(model, source, images.names, progress)
    for name, pictures in zip(reconstructed.names, reconstructed.pictures, strict=True):
        _write_strip(pictures, args.output / f"{name}.png")
    write_atomically(args.output / ARRAYS_FILE, lambda path: _save_arrays(reconstructed, path))
    console = Console()
    console.print(_table(reconstructed))
    warn_of_unreadable(reconstructed.unreadable, len(reconstructed.names))
    say(f"{len(reconstructed.names):,} strips of pictures and {ARRAYS_FILE}: {args.output}")
    return 0


def reconstruct_images(model: Model, images: Sequence[RGBImage]) -> tuple[Reconstruction, ReconstructionPictures]:
    """Reconstruct images of any size, of whose squareness the caller tells, as one batch, and draw them. Raises
    ConfigError if the model has no reconstructor."""
    reconstruction = model.reconstruct(SquashingTold(ArrayImages(images)))
    assert model.recognizer.reconstructor is not None
    images_NCHW = normalize(torch.stack([to_tensor(resize_square(image, model.info.input_size)) for image in images]))
    pictures = reconstruction_pictures(model.recognizer.reconstructor, images_NCHW.to(model.device), reconstruction)
    return reconstruction, pictures


def _reconstruct(model: Model, images: ImageSource, names: Sequence[str], progress: Progress) -> _Reconstructed:
    reconstructed = _Reconstructed()
    for index, name in enumerate(names):
        progress(index, len(images))
        try:
            image = images.read(index)
        except ImageError as error:
            reconstructed.unreadable.append(str(error))
            continue
        reconstruction, pictures = reconstruct_images(model, [image])
        reconstructed.names.append(name)
        reconstructed.reconstructions.append(reconstruction)
        reconstructed.pictures.append(pictures)
    if not reconstructed.names:
        raise DataError(f"{none_readable(len(images), images.name)}; {reconstructed.unreadable[0]}")
    return reconstructed


def _write_strip(pictures: ReconstructionPictures, path: Path) -> None:
    strip_HWC = np.concatenate(pictures.pictures_BPHWC[0], axis=1)
    write_atomically(path, lambda temporary: temporary.write_bytes(png_bytes(strip_HWC)))


def _save_arrays(reconstructed: _Reconstructed, path: Path) -> None:
    """Arrays `paths` (N,), canonical `depth` (N, H, W), `albedo` (N, H, W, C), `light` (N, 4), `view` (N, 6) and `psnr`
    (N,); no pickles."""
    stacked = {
        name: np.concatenate(
            [getattr(reconstruction, name).cpu().numpy() for reconstruction in reconstructed.reconstructions]
        )
        for name in ("canonical_depth_BHW", "albedo_BCHW", "light_B4", "view_B6")
    }
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            paths=np.array(reconstructed.names),
            depth=stacked["canonical_depth_BHW"],
            albedo=stacked["albedo_BCHW"].transpose(0, 2, 3, 1),
            light=stacked["light_B4"],
            view=stacked["view_B6"],
            psnr=np.concatenate([pictures.psnr_B for pictures in reconstructed.pictures]),
        )


def _table(reconstructed: _Reconstructed) -> Table:
    table = Table()
    table.add_column("image", overflow="fold")
    for heading in ("yaw", "pitch", "roll", "PSNR"):
        table.add_column(heading, justify="right")
    for name, pictures in zip(reconstructed.names, reconstructed.pictures, strict=True):
        printable = os.fsencode(name).decode(errors="replace")
        table.add_row(Text(printable), *map(angle_text, pictures.angles_B3[0]), psnr_text(pictures.psnr_B[0]))
    return table
