"""Digests of what images hold, by which a data set is recognised wherever it lies."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from facemargin.data.source import ImageSource
from facemargin.errors import ImageError

# Reading so many takes about a second from a cold SSD; smaller sets are compared whole.
_SAMPLE = 1024
_SEED = 20261126
UNREADABLE = -1


def sampled(number: int) -> NDArray[np.int64]:
    """Which of `number` images are compared, (S,), ascending: all up to 1,024, else that many drawn evenly."""
    if number <= _SAMPLE:
        return np.arange(number, dtype=np.int64)
    return np.sort(np.random.Generator(np.random.Philox(_SEED)).choice(number, _SAMPLE, replace=False))


def image_digest(images: ImageSource, index: int) -> int:
    """Of the bytes that image `index` is decoded from, wherever they lie and however the set is put together; of its
    pixels where it is only in memory. So a file and an array of the same picture differ: files are not decoded for
    this, and their pixels may depend on the version of the decoder."""
    try:
        if images.is_stored(index):
            content = images.read_encoded(index)
        else:
            content = images.read(index).tobytes()  # how a PNG of it looks depends on OpenCV's version
    except ImageError:
        return UNREADABLE
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True)


def data_digest(images: ImageSource, *numbers_N: NDArray[np.int64]) -> str:
    """Of up to 1,024 images, evenly drawn, and of all `numbers`, such as the labels: 16 hexadecimal digits. Where the
    images lie, and what the people are called, is none of it."""
    digest = hashlib.blake2b(digest_size=8)
    for values in (*numbers_N, np.array([image_digest(images, index) for index in sampled(len(images)).tolist()])):
        digest.update(np.ascontiguousarray(values, dtype="<i8").tobytes())
        digest.update(str(len(values)).encode())
    return digest.hexdigest()
