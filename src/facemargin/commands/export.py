"""`facemargin export MODEL --output model.onnx`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from facemargin.commands._arguments import parse
from facemargin.commands._origin import say_replaced
from facemargin.commands._say import say
from facemargin.data.formats.named_images import NamedImages
from facemargin.data.open import open_images
from facemargin.errors import ConfigError
from facemargin.export.export import export_onnx
from facemargin.export.onnx_graph import ExportedViews
from facemargin.models.load import load


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Write a model as an ONNX file that onnxruntime runs without facemargin, and compare the two on real faces."""

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """What `fm.load` takes: a run folder, a model file, another project's checkpoint, hf:owner/name."""
    output: Path
    """The .onnx file to write; one that is there is replaced."""
    preprocess: bool = False
    """The file reads uint8 RGB pixels (batch, height, width, 3), instead of what the network reads."""
    views: ExportedViews | None = None
    """"flip" averages with the mirrored image inside the file, "one" does not; by default the model's own."""
    int8: bool = False
    """Compute in 8-bit integers: a smaller file, and another accuracy, which is to be measured."""
    calibration_data: str | None = None
    """The faces that the ranges of int8 are chosen by: a training set such as orl:1-30, a folder of one folder per
    person, or one with train.rec."""
    check: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="IMAGES …")] = ()
    """Aligned faces to compare on, files and folders; by default twenty embedded ones."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "export", arguments)
    if args.int8 != (args.calibration_data is not None):
        raise ConfigError("--int8 and --calibration-data go together: int8 needs faces to choose its ranges by")
    say_replaced(args.output)
    parity = export_onnx(
        load(args.model),
        args.output,
        preprocess=args.preprocess,
        views=args.views,
        int8_calibration=None if args.calibration_data is None else open_images(args.calibration_data),
        check=NamedImages(args.check) if args.check else None,
    )
    say(str(parity))
    say(f"{args.output}: {args.output.stat().st_size / 1e6:,.1f} MB")
    return 0
