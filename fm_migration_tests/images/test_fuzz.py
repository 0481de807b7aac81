"""Mutated files through the workers: whatever they do to a decoder, every file gets an answer and the run goes on.

FM_FUZZ=20000 makes it the long run; with --log-cli-level=INFO it says what came of the files.
"""

from __future__ import annotations

import io
import logging
import os
import random
from collections import Counter
from collections.abc import Iterator

from PIL import Image

from fm_migration.images.engine import make_thumbnail
from fm_migration.images.isolation import IsolatedEngine
from fm_migration.images.outcome import Made, NotAnImage, RefusalReason, Unreadable
from fm_migration_tests.images import pictures

LOG = logging.getLogger(__name__)
FILES = int(os.environ.get("FM_FUZZ") or 400)
SEED = int(os.environ.get("FM_FUZZ_SEED") or 1)
NASTY = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\x01", b"\xff\xff", b"\0\0")


def corpus() -> list[bytes]:
    image = pictures.noisy(96, 72)
    files = [pictures.turned(6, kind, image) for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")]
    files += [pictures.file(image, kind) for kind in pictures.DECODED]
    files += [
        pictures.file(image, "JPEG", progressive=True, icc_profile=pictures.display_p3()),
        pictures.file(image, "JPEG", restart_marker_rows=1, exif=pictures.exif_with_secrets()),
        pictures.file(image.convert("CMYK"), "JPEG"),
        pictures.file(image.quantize(64), "PNG"),
        pictures.file(image.convert("RGBA"), "PNG", icc_profile=pictures.display_p3()),
        pictures.interlaced_png(image),
        pictures.file(image, "WEBP", lossless=True),
        pictures.file(image, "WEBP", save_all=True, append_images=[image.rotate(90)]),
        pictures.file(image, "GIF", save_all=True, append_images=[image.rotate(90)]),
        *(pictures.file(image, "TIFF", compression=name) for name in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits")),
        pictures.file(image.convert("1"), "TIFF", compression="group4"),
        pictures.mpo(),
        pictures.pdf(image),
    ]
    return files


def mutations(files: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    rng = random.Random(seed)
    for _ in range(count):
        data = bytearray(rng.choice(files))
        for _ in range(rng.choice((1, 1, 1, 2, 4, 12))):
            rng.choice((_flip, _flip, _flip, _flip, _overwrite, _overwrite, _cut, _repeat, _remove, _splice))(
                data, rng, files
            )
        yield bytes(data)


def _place(data: bytearray, rng: random.Random) -> int:
    """Anywhere, but twice as often near the beginning, where the structure is."""
    return rng.randrange(max(1, min(len(data), rng.choice((64, 600, len(data) or 1)))))


def _flip(data: bytearray, rng: random.Random, _files: list[bytes]) -> None:
    if data:
        data[_place(data, rng) % len(data)] ^= 1 << rng.randrange(8)


def _overwrite(data: bytearray, rng: random.Random, _files: list[bytes]) -> None:
    at, value = _place(data, rng), rng.choice(NASTY)
    data[at : at + len(value)] = value


def _cut(data: bytearray, rng: random.Random, _files: list[bytes]) -> None:
    del data[_place(data, rng) :]


def _remove(data: bytearray, rng: random.Random, _files: list[bytes]) -> None:
    at = _place(data, rng)
    del data[at : at + rng.randrange(1, 64)]


def _repeat(data: bytearray, rng: random.Random, _files: list[bytes]) -> None:
    at = _place(data, rng)
    data[at:at] = data[at : at + rng.randrange(1, 512)] * rng.randrange(1, 4)


def _splice(data: bytearray, rng: random.Random, files: list[bytes]) -> None:
    other = rng.choice(files)
    data[_place(data, rng) :] = other[rng.randrange(len(other)) :]


def test_the_corpus_itself_is_whole() -> None:
    assert all(type(make_thumbnail(data)) is Made for data in corpus())


def test_mutated_files_cost_only_themselves() -> None:
    tally: Counter[str] = Counter()
    numbered = enumerate(mutations(corpus(), FILES, SEED))
    with IsolatedEngine(workers=2, memory=512 * 1024 * 1024) as engine:
        seen = set()
        for number, outcome in engine.imap(numbered):
            assert number not in seen
            seen.add(number)
            tally[f"{type(outcome).__name__} {getattr(outcome, 'reason', '')}".strip()] += 1
            if isinstance(outcome, Made):
                thumbnail = Image.open(io.BytesIO(outcome.thumbnail))
                thumbnail.load()
                assert max(thumbnail.size) <= 300
            else:
                assert isinstance(outcome, Unreadable | NotAnImage)
        # The workers that are left are in working order.
        assert [type(outcome) for _, outcome in engine.imap([(0, corpus()[0])])] == [Made]
        LOG.info("%s files, seed %s: %s, workers replaced: %s", FILES, SEED, tally.most_common(), engine.replaced)
    assert seen == set(range(FILES))
    assert tally["Made"] and tally[f"Unreadable {RefusalReason.DAMAGED}"]
