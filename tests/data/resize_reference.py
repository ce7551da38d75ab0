"""Resizing as PyTorch and Pillow do it, line by line and pixel by pixel in float64."""

import numpy as np


def reference_resize(image: np.ndarray, height: int, width: int, name: str) -> np.ndarray:
    """(H, W, 3) uint8 to (height, width, 3) uint8: rows, rounded as uint8 images are between the two, then columns."""
    wide = resized_lines(image.transpose(1, 0, 2), width, name).transpose(1, 0, 2)
    return resized_lines(wide, height, name)


def resized_lines(image: np.ndarray, new_size: int, name: str) -> np.ndarray:
    lines = [sum(weight * image[line].astype(float) for line, weight in taps(len(image), new_size, i, name).items())
             for i in range(new_size)]  # fmt: skip
    return np.clip(np.floor(np.stack(lines) + 0.5), 0, 255).astype(np.uint8)


def taps(size: int, new_size: int, i: int, name: str) -> dict[int, float]:
    """Source lines of the resized line i and their weights."""
    if name == "nearest_exact":
        # In float32, as PyTorch does: it tells to which side a place halfway between two lines goes.
        return {int((np.float32(i) + np.float32(0.5)) * (np.float32(size) / np.float32(new_size))): 1.0}
    kernel, reach = {"bilinear_antialiased": (triangle, 1), "bicubic_antialiased": (keys_cubic, 2)}[name]
    scale = size / new_size
    widening = max(scale, 1.0)
    center = scale * (i + 0.5)
    weights = {}
    for line in range(size):
        if abs(line + 0.5 - center) < reach * widening:
            weights[line] = kernel((line + 0.5 - center) / widening)
    total = sum(weights.values())
    return {line: weight / total for line, weight in weights.items()}


def triangle(x: float) -> float:
    return max(0.0, 1 - abs(x))


def keys_cubic(x: float) -> float:
    """Keys, "Cubic convolution interpolation for digital image processing", 1981, with a = -1/2."""
    a, x = -0.5, abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0
