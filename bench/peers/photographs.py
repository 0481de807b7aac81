"""Twelve-megapixel photographs that nobody took: smooth surfaces, edges, fine texture, sensor noise, a camera's EXIF.

Belongs here: making the files that benchmarks of pictures read. Drawn once into a folder and found there again.
What matters to a JPEG decoder is how many bits each block holds, and that comes from the noise.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops

WIDTH, HEIGHT = 4032, 3024
_SCENES = 4
_QUALITIES = range(84, 95)
#: Phones store the pixels as the sensor lies and say how to turn them; most photographs of feet are portraits.
_ORIENTATIONS = (6, 1, 6, 8, 6, 3, 6, 1)


def photographs(folder: Path, count: int) -> list[Path]:
    """`count` photographs in a folder, drawn unless they are there already."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03}.jpg" for number in range(1, count + 1)]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    if missing:
        noise = _noise()
        for scene in sorted({number % _SCENES for number in missing}):
            ground = _scene(scene)
            for number in missing:
                if number % _SCENES == scene:
                    _write(paths[number], _taken(ground, noise, number), number)
    return paths


def _noise() -> Image.Image:
    """What a sensor adds, around a middle of 128."""
    grains = np.random.default_rng(0).standard_normal((HEIGHT, WIDTH, 3), dtype=np.float32)
    return Image.fromarray((grains * 6 + 128).astype(np.uint8), "RGB")


def _taken(ground: Image.Image, noise: Image.Image, number: int) -> Image.Image:
    """One exposure: gain, and the noise from another corner of the plane."""
    rng = np.random.default_rng(number)
    gain = rng.uniform(0.85, 1.1)
    exposed = ground.point([min(255, round(value * gain)) for value in range(256)] * 3)
    moved = ImageChops.offset(noise, int(rng.integers(WIDTH)), int(rng.integers(HEIGHT)))
    return ImageChops.add(exposed, moved, offset=-128)


def _scene(number: int) -> Image.Image:
    """Smooth light, some shapes with sharp edges, and a woven texture over part of it."""
    rng = np.random.default_rng(1000 + number)
    light = Image.fromarray(rng.integers(70, 210, (6, 8, 3), dtype=np.uint8), "RGB")
    scene = np.asarray(light.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)).astype(np.float32)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    for _ in range(9):
        centre_x, centre_y = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT)
        radius_x, radius_y = rng.uniform(120, 900, 2)
        inside = ((x - centre_x) / radius_x) ** 2 + ((y - centre_y) / radius_y) ** 2 < 1
        scene[inside] = 0.5 * scene[inside] + 0.5 * rng.uniform(30, 230, 3).astype(np.float32)
    weave = 9 * np.sin(x / rng.uniform(2.5, 6)) * np.sin(y / rng.uniform(2.5, 6))
    scene[:, : WIDTH // 3] += weave[:, : WIDTH // 3, None]
    return Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8), "RGB")


def _write(path: Path, image: Image.Image, number: int) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Lumenta", "Podograph 7"
    exif[0x0112] = _ORIENTATIONS[number % len(_ORIENTATIONS)]
    target = io.BytesIO()
    image.save(target, "JPEG", quality=_QUALITIES[number % len(_QUALITIES)], exif=exif)
    # Under another name first: a run that is stopped must leave no half photograph behind.
    draft = path.with_suffix(".part")
    draft.write_bytes(target.getvalue())
    draft.replace(path)
