"""`facemargin convert-weights SRC DST.safetensors`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from facemargin.commands._arguments import parse
from facemargin.commands._model_input import InputArguments
from facemargin.commands._origin import require_other_file, say_replaced
from facemargin.commands._say import say
from facemargin.data.images.normalization import number_text
from facemargin.errors import ConfigError
from facemargin.files.atomic import write_atomically
from facemargin.interop import read_checkpoint
from facemargin.interop.family import FAMILIES
from facemargin.interop.released import released_as
from facemargin.models.info import ModelInfo, save_model
from facemargin.models.load import checkpoint_recognizer, is_own_file, locate, read_recognizer
from facemargin.models.recognizer import Recognizer
from facemargin.tables import Table


@dataclass(frozen=True, kw_only=True)
class Arguments(InputArguments):
    """Convert another project's checkpoint to facemargin's own model file, which describes its input."""

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SRC")]
    """A .ckpt, .pth, .pt, .safetensors or .onnx file, a folder with such a file, hf:owner/name, or the name of a
    released model (facemargin models)."""
    target: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DST")]
    """The .safetensors file to write. An existing file is replaced."""
    trust: bool = False
    """Allow a pickle to run its code, which can do anything. Only for files of people you trust."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "convert-weights", arguments)
    if args.target.suffix != ".safetensors":
        raise ConfigError(f"the output file is {args.target}, expected a name that ends in .safetensors")
    source = locate(args.source)
    if is_own_file(source):
        raise ConfigError(f"{source} is facemargin's own file already: no conversion is needed")
    require_other_file(args.target, source)
    if source.suffix == ".onnx":
        return _convert_graph(args, source)
    checkpoint = read_checkpoint(source, args.family, args.trust)
    recognizer, info = checkpoint_recognizer(checkpoint)
    info = args.given_input().applied(info)
    _write(args, recognizer, info, FAMILIES[checkpoint.family.name].title)
    for note in checkpoint.notes:
        say(note, label="note")
    if checkpoint.left_out:
        shown = ", ".join(checkpoint.left_out[:8]) + (" …" if len(checkpoint.left_out) > 8 else "")
        say(f"left out, because it is not part of the network: {shown}")
    if checkpoint.family.non_commercial:
        say(info.licence, label="licence warning")
    else:
        say(f"licence: {info.licence}")
    say(f"written: {args.target}")
    return 0


def _convert_graph(args: Arguments, source: Path) -> int:
    """An ONNX graph that facemargin has rebuilt as one of its networks."""
    recognizer, info, notes = read_recognizer(source, args.family, given=args.given_input())
    if info.backbone == "onnx":
        raise ConfigError(
            f"{source} is an ONNX graph, whose weights are part of its operations, so it cannot be converted: "
            "give it directly as MODEL to any command"
        )
    released = released_as(source)
    _write(args, recognizer, info, released.title if released else info.family or "unknown")
    for note in notes:
        say(note, label="note")
    say(f"licence: {info.licence or 'unknown'}")
    say(f"written: {args.target}")
    return 0


def _write(args: Arguments, recognizer: Recognizer, info: ModelInfo, family: str) -> None:
    """Write the model, and print its description."""
    say_replaced(args.target)
    write_atomically(args.target, lambda path: save_model(path, recognizer.state_dict(), info))
    Console().print(_table(info, family))


def _table(info: ModelInfo, family: str) -> Table:
    table = Table(show_header=False)
    rows = {
        "family": family,
        "architecture": f"{info.backbone}, {info.embedding_size} features of {info.input_size} × {info.input_size} px",
        "colour order": info.color_order,
        "normalisation": f"(pixel − {number_text(info.mean)}) / {number_text(info.std)}",
        "options": ", ".join(f"{k} {v}" for k, v in info.options.items() if k != "input_size") or "none",
        "norm": "of the unnormalised features; quality: " + ("CR-FIQA's layer" if info.quality == "crfiqa" else "it"),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table
