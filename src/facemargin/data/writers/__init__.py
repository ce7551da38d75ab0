"""Writers of data sets, one format a file. `data/conversion.py` drives them."""

from facemargin.data.writers.base import WRITERS, ImageWriter, register_writer

__all__ = ["WRITERS", "ImageWriter", "register_writer"]
