"""One picture as a file of every kind, by the programs that usually write it."""

import io

import cv2
import numpy as np
import pillow_heif
from PIL import Image

from tests.data.sample_images import smooth_image

pillow_heif.register_heif_opener()

HEIGHT, WIDTH = 37, 53


def picture(seed: int = 1, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return smooth_image(seed, height, width)


def by_pillow(image: np.ndarray, kind: str, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def by_opencv(image: np.ndarray, suffix: str) -> bytes:
    pixels = image if image.ndim == 2 else np.ascontiguousarray(image[..., ::-1])
    return cv2.imencode(suffix, pixels)[1].tobytes()


# suffix (by which folders are searched): (canonical suffix, file, largest error in a channel)
def files(image: np.ndarray) -> dict[str, tuple[str, bytes, int]]:
    return {
        ".jpe": (".jpg", by_pillow(image, "JPEG", quality=100, subsampling=0), 4),
        ".jfif": (".jpg", by_opencv(image, ".jpg"), 24),
        ".png": (".png", by_pillow(image, "PNG"), 0),
        ".dib": (".bmp", by_opencv(image, ".bmp"), 0),
        ".webp": (".webp", by_pillow(image, "WEBP", lossless=True), 0),
        ".ppm": (".ppm", by_pillow(image, "PPM"), 0),
        ".pnm": (".ppm", by_opencv(image, ".ppm"), 0),
        ".tif": (".tif", by_pillow(image, "TIFF", compression="tiff_adobe_deflate"), 0),
        ".tiff": (".tif", by_opencv(image, ".tif"), 0),
        ".TIF": (".tif", by_pillow(image, "TIFF", big_tiff=True), 0),
        ".gif": (".gif", by_pillow(image, "GIF"), 60),
        ".jp2": (".jp2", by_pillow(image, "JPEG2000"), 0),
        ".j2k": (".jp2", by_pillow(image, "JPEG2000", no_jp2=True), 0),
        ".avif": (".avif", by_pillow(image, "AVIF", quality=100, subsampling="4:4:4"), 6),
        ".heic": (".heic", by_pillow(image, "HEIF", quality=100, chroma=444), 6),
        ".heif": (".heic", by_pillow(image, "HEIF", quality=100, chroma=444), 6),
    }
