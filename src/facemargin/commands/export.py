"""`facemargin export MODEL --output model.onnx`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from facemargin.commands._arguments import parse
from facemargin.commands._model_input import InputArguments
from facemargin.commands._origin import say_replaced
from facemargin.commands._own_network import load_model
from facemargin.commands._say import say
from facemargin.data.formats.named_images import NamedImages
from facemargin.data.open import open_images
from facemargin.errors import ConfigError
from facemargin.export.export import export_onnx
from facemargin.export.onnx_graph import ExportedViews


@dataclass(frozen=True, kw_only=True)
class Arguments(InputArguments):
    """Write a model as an ONNX file, which onnxruntime can run without facemargin, and compare the two on real
    faces."""

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A run folder, a model file, also of another project, the name of a released model (facemargin models),
    hf:owner/name, or FILE.py:NAME, a network of your own."""
    output: Path
    """The .onnx file to write. An existing file is replaced."""
    preprocess: bool = False
    """The file reads uint8 RGB pixels (batch, height, width, 3) instead of normalised images."""
    views: ExportedViews | None = None
    """"flip" averages each image with its mirror image inside the file, "one" does not. The default is that of the
    model."""
    int8: bool = False
    """Compute in 8-bit integers. The file is smaller, but the accuracy changes and has to be measured."""
    calibration_data: str | None = None
    """The faces from which the ranges of int8 are chosen: a training set such as orl:1-30, a folder with one folder per
    person, or a folder with train.rec."""
    check: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="IMAGES …")] = ()
    """Aligned faces for the comparison, as files and folders. The default are twenty embedded faces."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "export", arguments)
    if args.int8 != (args.calibration_data is not None):
        raise ConfigError(
            "--int8 and --calibration-data must be given together, because int8 needs faces to choose its ranges"
        )
    say_replaced(args.output)
    parity = export_onnx(
        load_model(args.model, "cpu", args),
        args.output,
        preprocess=args.preprocess,
        views=args.views,
        int8_calibration=None if args.calibration_data is None else open_images(args.calibration_data),
        check=NamedImages(args.check) if args.check else None,
    )
    say(str(parity))
    say(f"{args.output}: {args.output.stat().st_size / 1e6:,.1f} MB")
    return 0
