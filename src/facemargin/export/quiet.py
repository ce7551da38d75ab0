"""Silence for libraries that warn about themselves."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Neither logged nor Python's warnings inside. torch's exporter warns of operators of torchvision that are not
    there, onnxruntime's quantisation (through the root logger) of a preparation that changes nothing here."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
