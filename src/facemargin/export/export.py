"""Writing a recogniser as an ONNX file that onnxruntime runs without this library or torch."""

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
"""The largest difference that is let pass between a float32 file and the model, see Parity."""

INT8_COSINE = 0.95
"""The smallest cosine that is let pass between the vectors of an int8 file and the model's."""

# People of the embedded faces that files are checked on.
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
    """Write `model` to the ONNX file `path` and return how far onnxruntime's results are from `model`'s in float32.

    The file takes any number of images and gives `embedding` (B, D) of length 1, `norm` (B,) and `quality` (B,). It
    reads `images` (B, 3, H, W) float32 as the network does, or, with `preprocess`, `pixels` (B, H, W, 3) uint8 RGB. Its
    metadata say so, too, and what was measured. `views` "flip" averages with the mirrored image inside it; by default
    the model's own.

    int8_calibration: faces to choose the ranges of 8-bit integers by; without, the file is in float32. check: the faces
    that both embed, by default twenty embedded ones.

    The file appears whole or not at all. Raises ConfigError for a model that cannot be exported, views that a file
    cannot hold and packages that are missing, and CheckpointError where it cannot be written or differs from the model:
    in float32 by more than TOLERANCE, in int8 by a cosine below INT8_COSINE.
    """
    if not isinstance(model, Model):
        raise ConfigError(f"the model is a {type(model).__name__}, expected a Model, as in export_onnx(fm.load(path))")
    path = Path(path)
    if path.suffix != ".onnx":
        raise ConfigError(f"the file to write is {path}, expected a name that ends in .onnx")
    require_extra("export", "onnx", "onnxruntime", "onnxscript", what="exporting a model")
    import onnxruntime  # slow to import

    views = _views(model, views)
    faces = EmbeddedFaces(_CHECK_PEOPLE) if check is None else given_images(check)
    if not len(faces):
        raise ConfigError("there are no images to check the file with")
    calibration = None if int8_calibration is None else given_images(int8_calibration)
    if calibration is not None and not len(calibration):
        raise ConfigError("int8 needs faces to calibrate on, and there are none")
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
            f"{parity.cosine:.3f}, and at least {INT8_COSINE:g} is asked. Calibrate "
            "on more faces, such as the model will see, or export in float32"
        )


def _views(model: Model, views: ExportedViews | None) -> ExportedViews:
    if views is not None:
        if views not in ("one", "flip"):
            raise ConfigError(f"views is {views!r}, expected one or flip: an ONNX file holds no others")
        return views
    if model.info.views == "multi":
        raise ConfigError("this model averages 14 views, which an ONNX file does not hold: choose views one or flip")
    return model.info.views
