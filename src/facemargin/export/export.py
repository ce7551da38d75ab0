"""Writes a recogniser as an ONNX file, which onnxruntime can run without this library or torch."""

import copy
from collections.abc import Sequence
from pathlib import Path
from platform import machine

import numpy as np
from numpy.typing import NDArray

from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.data.given_images import given_images
from facemargin.data.source import ImageSource
from facemargin.errors import CheckpointError, ConfigError
from facemargin.export.exported_model import ExportedModel
from facemargin.export.onnx_graph import ExportedViews, onnx_graph
from facemargin.export.parity import Parity, measure_parity
from facemargin.export.quantize import quantize
from facemargin.extras import require_extra
from facemargin.files.atomic import write_atomically
from facemargin.models.model import Model

TOLERANCE = 1e-4
"""The largest allowed difference between a float32 file and the model, see Parity."""

INT8_COSINE = 0.95
"""The smallest allowed cosine between the vectors of an int8 file and those of the model."""

# The people of the embedded faces with which files are checked.
_CHECK_PEOPLE = range(1, 3)


def export_onnx(
    model: Model,
    path: str | Path,
    *,
    preprocess: bool = False,
    views: ExportedViews | None = None,
    int8_calibration: ImageSource | Sequence[NDArray[np.uint8]] | None = None,
    check: ImageSource | Sequence[NDArray[np.uint8]] | None = None,
) -> Parity:
    """Write `model` to the ONNX file `path`, and return the differences of onnxruntime's results from those of `model`
    in float32.

    The file accepts any number of images and returns `embedding` (B, D) of length 1, `norm` (B,) and `quality` (B,). It
    reads `images` (B, 3, H, W) float32, scaled as for the network, or, with `preprocess`, `pixels` (B, H, W, 3) uint8
    RGB. Its metadata describe the input and the measured differences. With `views` "flip", the graph averages each
    image with its mirror image; the default is that of the model.

    int8_calibration: faces from which the ranges of the 8-bit integers are chosen; without it, the file is in float32.
    check: the faces with which the file and the model are compared, by default twenty of the embedded faces.

    The file is written completely or not at all. Raises ConfigError for a model that cannot be exported, for views that
    a file cannot have and for missing packages. Raises OutputError if the file cannot be written, and
    CheckpointError if it differs from the model: in float32 by more than TOLERANCE, in int8 by a cosine below
    INT8_COSINE.

    Examples:
        >>> import facemargin as fm
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64)
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/model.onnx"
        >>> fm.export_onnx(model, path, check=fm.open_images("orl:1"))
        Parity(images=10, ...)
    """
    if not isinstance(model, Model):
        raise ConfigError(f"the model is a {type(model).__name__}, expected a Model, such as fm.load(path)")
    path = Path(path)
    if path.suffix != ".onnx":
        raise ConfigError(f"the output file is {path}, expected a name that ends in .onnx")
    require_extra("export", "onnx", "onnxruntime", "onnxscript", what="exporting a model")
    import onnxruntime  # slow to import

    views = _views(model, views)
    faces = EmbeddedFaces(_CHECK_PEOPLE) if check is None else given_images(check)
    if not len(faces):
        raise ConfigError("there are no images to check the file with: give at least one, or leave check out")
    calibration = None if int8_calibration is None else given_images(int8_calibration)
    if calibration is not None and not len(calibration):
        raise ConfigError("int8 needs faces for the calibration, but there are none: give a set with images")
    graph = onnx_graph(model.recognizer, model.info, preprocess, views)
    if calibration is not None:
        graph = quantize(graph, model.info, preprocess, calibration)
    reference = Model(copy.deepcopy(model.recognizer), model.info)
    parity = measure_parity(ExportedModel(graph.SerializeToString()), reference, faces, views)
    if calibration is None:
        _require_equal(path, parity)
    else:
        _require_near(path, parity)
    graph.metadata_props.add(key="parity", value=f"{parity}; onnxruntime {onnxruntime.__version__}, {machine()}")
    write_atomically(path, lambda temporary: temporary.write_bytes(graph.SerializeToString()))
    return parity


def _require_equal(path: Path, parity: Parity) -> None:
    if not parity.largest <= TOLERANCE:
        raise CheckpointError(
            f"{path} was not written: onnxruntime's results differ from the model's by {parity.largest:.2g}, more than "
            f"{TOLERANCE:g} (embedding {parity.embedding:.2g}, norm {parity.norm:.2g}, quality {parity.quality:.2g})"
        )


def _require_near(path: Path, parity: Parity) -> None:
    if not parity.cosine >= INT8_COSINE:
        raise CheckpointError(
            f"{path} was not written: in int8 the smallest cosine between a face's vector and the model's is "
            f"{parity.cosine:.3f}, but at least {INT8_COSINE:g} is required. Calibrate with more faces that are "
            "similar to those in use, or export in float32"
        )


def _views(model: Model, views: ExportedViews | None) -> ExportedViews:
    if views is not None:
        if views not in ("one", "flip"):
            raise ConfigError(f"views is {views!r}, expected one or flip: an ONNX file cannot have others")
        return views
    if model.info.views == "multi":
        raise ConfigError("this model averages 14 views, which an ONNX file cannot do: choose views one or flip")
    return model.info.views
