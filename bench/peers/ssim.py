"""Structural similarity of two grey pictures, after Wang, Bovik, Sheikh and Simoncelli (2004)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

_SIGMA = 1.5
_RADIUS = 5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

Plane = npt.NDArray[np.float64]


def ssim(one: Image.Image, other: Image.Image) -> float:
    """1 for the same picture. With a Gaussian window of 11 × 11 and without the edges that it does not fit on."""
    a, b = (np.asarray(image.convert("L")).astype(np.float64) for image in (one, other))
    mean_a, mean_b = _blurred(a), _blurred(b)
    variance_a, variance_b = _blurred(a * a) - mean_a**2, _blurred(b * b) - mean_b**2
    covariance = _blurred(a * b) - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    return float((likeness / ((mean_a**2 + mean_b**2 + _C1) * (variance_a + variance_b + _C2))).mean())


def _blurred(plane: Plane) -> Plane:
    weights = np.exp(-(np.arange(-_RADIUS, _RADIUS + 1) ** 2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(plane, len(weights), axis)
        plane = windows @ weights
    return plane
