"""What the graph of an ONNX recogniser reads and what it gives, found out by running it.

Shapes: B images, C colours, H × W pixels, D embedding size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facemargin.backbones.base import IMAGE_CHANNELS, TOTAL_STRIDE
from facemargin.errors import CheckpointError

Layout = Literal["NCHW", "NHWC"]

_USUAL_SIZE = 112
_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
_ALIKE = 0.01  # of the largest feature: fp16's rounding is far below, another image's features far above


@dataclass(frozen=True)
class Signature:
    """The image input and the features among the outputs, by their names. batch: the number of images that the graph
    always takes, None for any. notes: what was chosen, for people."""

    input: str
    output: str
    type: type[np.generic]
    layout: Layout
    size: int
    batch: int | None
    embedding_size: int
    notes: tuple[str, ...] = ()

    def run(self, session: Any, images_BCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (B, D) of at most `batch` images, as float32."""
        count = len(images_BCHW)
        if self.batch is not None and count < self.batch:
            images_BCHW = np.concatenate(
                [images_BCHW, np.zeros_like(images_BCHW, shape=(self.batch - count, *images_BCHW.shape[1:]))]
            )
        features = _run(session, self.input, _as_input(images_BCHW, self.type, self.layout), [self.output])[0]
        rows_BD = _as_rows(features, len(images_BCHW))
        if rows_BD is None or rows_BD.shape[1] != self.embedding_size:
            raise CheckpointError(
                f"the graph gives {features.shape} for {len(images_BCHW)} images, but gave {self.embedding_size} "
                "features an image before"
            )
        return rows_BD[:count]


def read_signature(path: Path, session: Any, layout: Layout | None, raw: bool) -> Signature:
    """The signature of a session of the graph in `path`. `raw`: the graph takes pixels 0…255.

    Raises CheckpointError, naming the file and what it reads and gives, where that is not images and features.
    """
    inputs = session.get_inputs()
    shape = list(inputs[0].shape or []) if inputs else []
    if len(inputs) != 1 or len(shape) != 4 or inputs[0].type not in _TYPES:
        raise _no_recogniser(path, inputs)
    kind = _TYPES[inputs[0].type]
    raw = raw or kind is np.uint8
    problem: CheckpointError | None = None
    for candidate in _layouts(path, inputs, layout):
        try:
            signature = _try(path, session, candidate, raw)
        except CheckpointError as error:
            problem = problem or error
            continue
        undeclared = layout is None and len(_layouts(path, inputs, layout)) > 1
        said = (f"the graph does not say where its colours are; it runs with {candidate}, which is taken",)
        return _with_notes(signature, said if undeclared else ())
    assert problem is not None
    raise problem


def _try(path: Path, session: Any, layout: Layout, raw: bool) -> Signature:
    image_input = session.get_inputs()[0]
    shape, kind = list(image_input.shape), _TYPES[image_input.type]
    sides = shape[2:] if layout == "NCHW" else shape[1:3]
    height, width = (side if isinstance(side, int) and side > 0 else _USUAL_SIZE for side in sides)
    if height != width or height < TOTAL_STRIDE:
        raise CheckpointError(f"{path} reads images of {height} × {width} pixels, expected square images")
    batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None
    count = 2 if batch is None else batch
    drawn = np.random.default_rng(0).integers(0, 256, (count, IMAGE_CHANNELS, height, width)).astype(np.float32)
    images_BCHW = drawn if raw else (drawn - 127.5) / 127.5
    names = [output.name for output in session.get_outputs()]
    notes = []
    try:
        results = _run(session, image_input.name, _as_input(images_BCHW, kind, layout), names)
        rows = [_as_rows(result, count) for result in results]
    except CheckpointError:
        if batch is not None:
            raise
        rows = []
    if batch is None and not any(row is not None for row in rows):
        # exported for one image, but for a batch of any size by its own account
        batch, notes = 1, ["the graph says that it takes any number of images, but it takes one at a time"]
        results = _run(session, image_input.name, _as_input(images_BCHW[1:], kind, layout), names)
        rows = [_as_rows(result, 1) for result in results]
    vectors = {name: row for name, row in zip(names, rows, strict=True) if row is not None and row.shape[1] > 1}
    if not vectors:
        given = "; ".join(f"{name} {result.shape}" for name, result in zip(names, results, strict=True))
        raise CheckpointError(
            f"{path} is not a recogniser that facemargin can run: it gives {given} for {count} images, expected "
            "features (B, D)"
        )
    output, rows_BD = next(iter(vectors.items()))
    if len(vectors) > 1:
        others = ", ".join(list(vectors)[1:])
        notes.append(
            f"the graph gives several vectors an image; the first, {output}, is taken for the features, not {others}"
        )
    size = rows_BD.shape[1]
    signature = Signature(image_input.name, output, kind, layout, height, batch, size)
    if batch is None and not _is_one_by_one(signature, session, images_BCHW, rows_BD):
        signature = Signature(image_input.name, output, kind, layout, height, 1, size)
        notes.append(
            "the graph gives other features for images together than for each alone, and is given one at a time"
        )
    return _with_notes(signature, tuple(notes))


def _is_one_by_one(
    signature: Signature, session: Any, images_BCHW: NDArray[np.float32], rows_BD: NDArray[np.float32]
) -> bool:
    """Whether the last image has the features alone that it has in company."""
    try:
        alone_D = signature.run(session, images_BCHW[-1:])[0]
    except CheckpointError:  # it is a graph of exactly two, by chance
        return True
    largest = float(np.abs(rows_BD[-1]).max())
    if not np.isfinite(largest):  # what such features are worth is said where images are embedded
        return True
    return bool(np.allclose(alone_D, rows_BD[-1], rtol=0, atol=_ALIKE * largest, equal_nan=True))


def _layouts(path: Path, inputs: Sequence[Any], layout: Layout | None) -> list[Layout]:
    """Those that the declared shape allows, of `layout` alone where it is given."""
    shape = inputs[0].shape
    possible: list[Layout] = []
    if not isinstance(shape[1], int) or shape[1] in (IMAGE_CHANNELS, -1):
        possible.append("NCHW")
    if not isinstance(shape[3], int) or shape[3] in (IMAGE_CHANNELS, -1):
        possible.append("NHWC")
    if "NCHW" in possible and "NHWC" in possible and layout is None and IMAGE_CHANNELS in (shape[1], shape[3]):
        possible = ["NCHW"] if shape[1] == IMAGE_CHANNELS else ["NHWC"]
    if layout is not None and layout not in possible:
        raise CheckpointError(f"{path} does not read {layout}: its input is {list(shape)}")
    if not possible:
        raise _no_recogniser(path, inputs)
    return possible if layout is None else [layout]


def _no_recogniser(path: Path, inputs: Sequence[Any]) -> CheckpointError:
    described = "; ".join(f"{entry.name} {entry.type} {entry.shape}" for entry in inputs) or "nothing"
    return CheckpointError(
        f"{path} is not a recogniser that facemargin can run: it reads {described}, expected one input of images "
        "(B, 3, H, W) or (B, H, W, 3), as floats or uint8"
    )


def _with_notes(signature: Signature, notes: tuple[str, ...]) -> Signature:
    return Signature(**{**vars(signature), "notes": (*signature.notes, *notes)})


def _as_input(images_BCHW: NDArray[np.float32], kind: type[np.generic], layout: Layout) -> NDArray[np.generic]:
    images = images_BCHW if layout == "NCHW" else images_BCHW.transpose(0, 2, 3, 1)
    if kind is np.uint8:
        images = images.round().clip(0, 255)
    return np.ascontiguousarray(images, dtype=kind)


def _as_rows(result: Any, count: int) -> NDArray[np.float32] | None:
    """(B, D) of a result of one row an image with any number of dimensions of 1 around it, or None."""
    if not isinstance(result, np.ndarray) or result.ndim < 2 or len(result) != count:
        return None
    if result.dtype.kind != "f" or max(result.shape[1:]) != result[0].size:
        return None
    return result.reshape(count, -1).astype(np.float32, copy=False)


def _run(session: Any, name: str, images: NDArray[np.generic], outputs: list[str]) -> list[Any]:
    try:
        return list(session.run(outputs, {name: images}))
    except Exception as error:  # onnxruntime has a dozen types of its own
        raise CheckpointError(f"the graph does not run: {' '.join(str(error).split())}") from error
