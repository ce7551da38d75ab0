"""Hides warnings of libraries about their own internals."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Hide logged messages and Python warnings within the context. torch's exporter warns about missing operators of
    torchvision, and onnxruntime's quantisation (through the root logger) about a preparation that changes nothing
    here."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
