"""Writers of data sets, one format per file. `data/conversion.py` uses them."""

from facemargin.data.writers.base import WRITERS, ImageWriter, register_writer

__all__ = ["WRITERS", "ImageWriter", "register_writer"]
