"""Thumbnails of twelve-megapixel photographs: our engine beside the seed's recipe, Pillow's default and libvips.

    PYTHONPATH=folder/with/pyvips python -m bench thumbnails --count 100 --runs 3

Every way reads the same files in turn and makes a thumbnail of each. CPU decides: wall time is shared with whatever
else the machine does. pyvips, simplejpeg and vipsthumbnail are measured when they are installed.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from PIL import Image, ImageOps

from bench.harness import MARKDOWN_HEADER, Call, Comparison, compare
from bench.peers import thumbnailers
from bench.peers.photographs import photographs
from bench.peers.ssim import ssim
from fm_migration.images.engine import make_thumbnail
from fm_migration.images.isolation import IsolatedEngine
from fm_migration.images.outcome import Made

ENGINE, ONE_WORKER, TWO_WORKERS = "engine", "engine, 1 worker", "engine, 2 workers"
TWO_WORKERS_LONG = "engine, 2 workers, 4 × the files"
SEED, PILLOW, VIPS, VIPS_SRGB = "seed's recipe", "Image.thumbnail()", "pyvips", "pyvips to sRGB"
DECODE, DECODE_TURBO = "scaled decode alone, Pillow", "scaled decode alone, simplejpeg"
COMMAND = "vipsthumbnail to sRGB"
#: Photographs whose likeness to a full decode is measured; it hardly differs between them.
JUDGED = 12


# --- what is measured, each in an interpreter of its own --------------------------------------------------------


def paths(folder: str, count: int, **_: object) -> list[Path]:
    return photographs(Path(folder), count)


def way(files: list[Path], name: str, **_: object) -> None:
    make = MAKERS[name]
    for file in files:
        make(file.read_bytes())


def isolated(files: list[Path], workers: int, rounds: int = 1, **_: object) -> None:
    made = 0
    with IsolatedEngine(workers) as engine:
        for _key, outcome in engine.imap((file, file.read_bytes()) for _ in range(rounds) for file in files):
            made += isinstance(outcome, Made)
    if made != len(files) * rounds:
        raise RuntimeError(f"only {made} thumbnails were made")


def command(files: list[Path], **_: object) -> None:
    thumbnailers.vipsthumbnail(files)


def ours(data: bytes) -> bytes:
    outcome = make_thumbnail(data)
    if not isinstance(outcome, Made):
        raise TypeError(f"no thumbnail: {outcome}")
    return outcome.thumbnail


MAKERS: dict[str, Callable[[bytes], bytes]] = {
    ENGINE: ours,
    SEED: thumbnailers.seed,
    PILLOW: thumbnailers.pillow,
    VIPS: thumbnailers.vips,
    VIPS_SRGB: thumbnailers.vips_srgb,
    DECODE: thumbnailers.decode_pillow,
    DECODE_TURBO: thumbnailers.decode_turbo,
}


def calls(folder: Path, count: int) -> dict[str, Call]:
    """Every way that can run here, ours first."""
    missing = set()
    if not thumbnailers.installed("pyvips"):
        missing |= {VIPS, VIPS_SRGB}
    if not thumbnailers.installed("simplejpeg"):
        missing.add(DECODE_TURBO)
    call = partial(Call, prepare="bench.thumbnails:paths")
    common = {"folder": str(folder), "count": count}
    found = {name: call("bench.thumbnails:way", {**common, "name": name}) for name in MAKERS if name not in missing}
    found[ONE_WORKER] = call("bench.thumbnails:isolated", {**common, "workers": 1})
    found[TWO_WORKERS] = call("bench.thumbnails:isolated", {**common, "workers": 2})
    if thumbnailers.has_vipsthumbnail():
        found[COMMAND] = call("bench.thumbnails:command", common)
    return found


# --- what comes of it -------------------------------------------------------------------------------------------


def cpu_ratio(comparison: Comparison, name: str, base: str) -> float:
    """How many times the CPU of `base`, pair by pair."""
    pairs = zip(comparison.samples[name], comparison.samples[base], strict=True)
    return statistics.median(sample.cpu / other.cpu for sample, other in pairs)


def table(comparison: Comparison, count: int) -> str:
    lines = [f"{'':34}{'CPU ms':>8}{'wall ms':>9}{'a second':>10}{'peak MiB':>10}{'CPU ÷ engine':>14}   per photograph"]
    for name in comparison.samples:
        cpu, wall = comparison.cpu(name).median / count, comparison.wall(name).median / count
        lines.append(
            f"{name:34}{cpu * 1000:8.1f}{wall * 1000:9.1f}{1 / wall:10.1f}"
            f"{comparison.peak_rss(name).high / 2**20:10.0f}{cpu_ratio(comparison, name, ENGINE):14.2f}"
        )
    return "\n".join(lines)


def goals(comparison: Comparison, likeness: dict[str, float]) -> str:
    lines = []

    def judge(what: str, figure: float, limit: float) -> None:
        lines.append(f"{'reached' if figure <= limit else 'MISSED '}  {what}: {figure:.3f}, at most {limit}")

    for base, limit in ((SEED, 0.30), (VIPS_SRGB, 0.85), (DECODE, 1.25), (DECODE_TURBO, 1.25)):
        if base in comparison.samples:
            judge(f"CPU of the engine ÷ {base}", cpu_ratio(comparison, ENGINE, base), limit)
    judge("SSIM lost against the seed's recipe", likeness[SEED] - likeness[ENGINE], 0.002)
    peak = max(comparison.peak_rss(name).high for name in (ENGINE, ONE_WORKER, TWO_WORKERS)) / 2**20
    judge("peak MiB of any of our processes", peak, 300)
    return "\n".join(lines)


def likenesses(files: list[Path]) -> dict[str, float]:
    """Mean SSIM of each way with the photograph decoded in full, turned upright, shrunk and never compressed."""
    names = [ENGINE, SEED, PILLOW, *([VIPS, VIPS_SRGB] if thumbnailers.installed("pyvips") else [])]
    found: dict[str, list[float]] = {name: [] for name in names}
    for file in files[:JUDGED]:
        data = file.read_bytes()
        stored = Image.open(io.BytesIO(data))
        truth = ImageOps.exif_transpose(stored)
        size = (225, 300) if truth.height > truth.width else (300, 225)
        truth = truth.resize(size, Image.Resampling.LANCZOS)
        for name in names:
            thumbnail: Image.Image = Image.open(io.BytesIO(MAKERS[name](data)))
            if name in (SEED, PILLOW):
                # Theirs lie as the pixels are stored; turned here, so that only the quality is compared.
                thumbnail = _turned_like(thumbnail, stored)
            found[name].append(ssim(truth, thumbnail))
    return {name: statistics.mean(values) for name, values in found.items()}


def _turned_like(thumbnail: Image.Image, original: Image.Image) -> Image.Image:
    thumbnail.load()
    thumbnail.getexif()[0x0112] = original.getexif().get(0x0112, 1)
    return ImageOps.exif_transpose(thumbnail)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench thumbnails", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=100, help="photographs (default 100)")
    parser.add_argument("--runs", type=int, default=3, help="measured runs of each way (default 3)")
    parser.add_argument("--warm-up", type=int, default=1, help="runs of each that do not count (default 1)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir(), "fm-migration-bench-photographs"))
    parser.add_argument("--long", action="store_true", help="also four times the files, to see that memory stays")
    options = parser.parse_args()

    files = photographs(options.folder, options.count)
    sizes = [file.stat().st_size / 1e6 for file in files]
    print(f"{len(files)} photographs, {min(sizes):.1f} to {max(sizes):.1f} MB, mean {statistics.mean(sizes):.1f}\n")
    ways = calls(options.folder, options.count)
    if options.long:
        arguments = {"folder": str(options.folder), "count": options.count, "workers": 2, "rounds": 4}
        ways[TWO_WORKERS_LONG] = Call("bench.thumbnails:isolated", arguments, prepare="bench.thumbnails:paths")
    # One thread: with more, libvips spends CPU on pictures this small without gaining time.
    environment = {"VIPS_CONCURRENCY": "1"}
    if "PYTHONPATH" in os.environ:
        environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent.parent), os.environ["PYTHONPATH"]])
    comparison = compare(ways, runs=options.runs, warm_up=options.warm_up, environment=environment)
    likeness = likenesses(files)
    print(table(comparison, options.count), "\n")
    print("\n".join(f"SSIM {value:.4f}  {name}" for name, value in likeness.items()), "\n")
    print(goals(comparison, likeness), "\n")
    print(MARKDOWN_HEADER)
    print(comparison.markdown_rows(f"thumbnails of {options.count} photographs of 12 megapixels"))


if __name__ == "__main__":
    main()
