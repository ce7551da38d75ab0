"""A painted head of known shape, photographed by a renderer that shares nothing with facemargin's.

The head is the surface z = h(x, y), its picture a cloud of points, many to a pixel: each is lit, moved to the view,
projected, and the nearest of those that fall into a cell of a fine grid is kept; the picture is the grid, averaged.
Everything is numpy and float64. Axes: x right, y down, z away from the camera; lengths in distances of the head.

Shapes: N points, S × S pixels, 3 coordinates or colours.
"""

import math
from dataclasses import dataclass

import numpy as np

FIELD_OF_VIEW = 10.0
HALF_WIDTH = math.tan(math.radians(FIELD_OF_VIEW / 2))


def surface(x, y):
    """h: a head's bulge, a nose and a chin before a flat background."""
    u, v = x / HALF_WIDTH, y / HALF_WIDTH
    bulge = 0.055 * np.exp(-((u / 0.6) ** 4 + (v / 0.8) ** 4) / 1.5 - (u / 0.9) ** 2 / 2)
    nose = 0.018 * np.exp(-((u / 0.13) ** 2) / 2 - ((v - 0.1) / 0.18) ** 2 / 2)
    chin = 0.006 * np.exp(-((u / 0.2) ** 2 + ((v - 0.65) / 0.12) ** 2) / 2)
    return 1.035 - bulge - nose - chin


def normals(x, y, step=1e-6):
    """Unit normals (N, 3) on the camera's side."""
    slope_x = (surface(x + step, y) - surface(x - step, y)) / (2 * step)
    slope_y = (surface(x, y + step) - surface(x, y - step)) / (2 * step)
    normal = np.stack([slope_x, slope_y, -np.ones_like(x)], axis=-1)
    return normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def albedo(x, y):
    """Skin with dark hair, eyes, brows and a red mouth, (N, 3) from 0 to 1; the two sides differ."""
    u, v = x / HALF_WIDTH, y / HALF_WIDTH

    def spot(u0, v0, width, height):
        return np.exp(-((((u - u0) / width) ** 2 + ((v - v0) / height) ** 2) / 2))[..., None]

    color = np.ones((*u.shape, 3)) * [0.85, 0.65, 0.55]
    hair = 1 / (1 + np.exp((v + 0.62 + 0.1 * u) / 0.06))[..., None]
    for strength, paint in (
        (hair, [0.2, 0.15, 0.1]),
        (0.9 * spot(-0.3, -0.15, 0.1, 0.06) + 0.9 * spot(0.3, -0.15, 0.1, 0.06), [0.1, 0.15, 0.2]),
        (0.7 * spot(-0.3, -0.35, 0.14, 0.04) + 0.7 * spot(0.3, -0.33, 0.14, 0.04), [0.25, 0.2, 0.15]),
        (0.8 * spot(0.0, 0.45, 0.2, 0.05), [0.7, 0.2, 0.2]),
        (0.6 * spot(0.45, 0.3, 0.08, 0.08), [0.4, 0.2, 0.15]),
    ):
        color = (1 - strength) * color + strength * np.array(paint)
    return color


def rotation(yaw, pitch, roll):
    """Turns about the y axis, then x, then z: nose to the right, nose up, clockwise as seen."""
    about_y = np.array([[math.cos(yaw), 0, -math.sin(yaw)], [0, 1, 0], [math.sin(yaw), 0, math.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(pitch), math.sin(pitch)], [0, -math.sin(pitch), math.cos(pitch)]])
    about_z = np.array([[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


@dataclass
class Photograph:
    """`image_SS3` in [-1, 1], `depth_SS`, and `from_canonical_SS`: whether all that a pixel shows lies within the
    canonical picture."""

    image_SS3: np.ndarray
    depth_SS: np.ndarray
    from_canonical_SS: np.ndarray


def photograph(view, light, size, oversampling=3, points=1300, extent=0.18):
    """The head from `view` (yaw, pitch, roll, x, y, z) under `light` (ambient, diffuse, x, y)."""
    x, y = (axis.ravel() for axis in np.meshgrid(*[np.linspace(-extent, extent, points)] * 2))
    z = surface(x, y)
    center = np.array([0.0, 0.0, 1.0])
    moved_N3 = (np.stack([x, y, z], axis=-1) - center) @ rotation(*view[:3]).T + center + np.array(view[3:])
    cells = size * oversampling
    column, row = np.floor((moved_N3[:, :2] / moved_N3[:, 2:] / HALF_WIDTH + 1) / 2 * cells).astype(int).T
    inside = np.flatnonzero((column >= 0) & (column < cells) & (row >= 0) & (row < cells))
    farthest_first = inside[np.argsort(-moved_N3[inside, 2])]
    nearest = np.full(cells**2, -1)
    nearest[row[farthest_first] * cells + column[farthest_first]] = farthest_first
    assert (nearest >= 0).all(), "the cloud of points has holes"

    x, y, z = x[nearest], y[nearest], z[nearest]
    ambient, diffuse, *direction_xy = light
    direction = np.array([*direction_xy, -1.0])
    cosine = normals(x, y) @ (direction / np.linalg.norm(direction))
    color_N3 = 2 * albedo(x, y) * (ambient + diffuse * np.maximum(0, cosine))[:, None] - 1
    within_N = (np.abs(x / z) <= HALF_WIDTH) & (np.abs(y / z) <= HALF_WIDTH)

    def pixels(values_N):
        return values_N.reshape(size, oversampling, size, oversampling, -1).mean(axis=(1, 3))

    return Photograph(
        image_SS3=pixels(color_N3),
        depth_SS=pixels(moved_N3[nearest, 2])[..., 0],
        from_canonical_SS=pixels(within_N.astype(float))[..., 0] == 1,
    )


def canonical_maps(size):
    """Depth (S, S) and albedo (S, S, 3) along the rays of the canonical picture's pixels."""
    coordinate = HALF_WIDTH * ((2 * np.arange(size) + 1) / size - 1)
    ray_x, ray_y = np.meshgrid(coordinate, coordinate)
    z = np.ones((size, size))
    for _ in range(100):
        z = surface(z * ray_x, z * ray_y)
    assert np.abs(z - surface(z * ray_x, z * ray_y)).max() < 1e-12
    return z, albedo(z * ray_x, z * ray_y)
