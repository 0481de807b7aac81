"""What lies in the bucket under the dump's prefix: originals in every condition, thumbnails, copies and strays.

Pure: it says what each object shows; `pictures` draws it. Files are spoilt only where the row is in order, so
that the truth about a photograph never has two reasons.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from fm_migration.embedded.sample.model import DUMP_PREFIX, Picture, StoredObject, sample_uuid
from fm_migration.embedded.sample.people import stream
from fm_migration.embedded.sample.photographs import Shot
from fm_migration.embedded.sample.words import view_and_side

_SHAPES = ((480, 640), (450, 600), (472, 632), (640, 480), (600, 450))
_SHAPE_WEIGHTS = (50, 12, 8, 22, 8)
_SUFFIXES = {
    "png": ".png", "heic": ".heic", "pdf": ".pdf", "tiff": ".tif", "gif": ".gif", "webp": ".webp", "bmp": ".bmp",
}  # fmt: skip
#: Of these a file has at most one.
_CONDITIONS = (
    *_SUFFIXES,
    "wrong_extension",
    "truncated_jpeg",
    "zero_byte_file",
    "upper_case_extension",
    "no_extension",
    "uuid_named_object",
    "nested_object",
    *(f"exif_orientation_{n}" for n in range(2, 9)),
)
#: Recids of thumbnails that have no original start here, well above all others of any usual size.
_NOBODYS_RECID = 90_000_000


def design(seed: int, counts: dict[str, int], shots: list[Shot]) -> Iterator[StoredObject]:
    """Every object under the prefix; the originals first."""
    rng = stream(seed, "objects")
    _plant_file_mess(rng, counts, shots)
    originals = [_original(rng, shot, n) for n, shot in enumerate(s for s in shots if s.has_object)]
    yield from originals
    plain = [o for o in originals if o.key.endswith(".jpg") and o.has_row and _is_whole_jpeg(o)]
    rng.shuffle(plain)
    for original in plain[: counts["thumbnail_object"]]:
        yield _thumbnail(original)
    for number in range(counts["thumbnail_without_original"]):
        alone = replace(plain[number], recid=str(_NOBODYS_RECID + number), has_row=False)
        yield replace(_thumbnail(alone), mess=("thumbnail_without_original",))
    for number in range(counts["stray_file"]):
        name = f"export-log-{number}.txt" if number else ".DS_Store"
        yield StoredObject(DUMP_PREFIX + name, "other", None, None, None, False, ("stray_file",))


def _plant_file_mess(rng: random.Random, counts: dict[str, int], shots: list[Shot]) -> None:
    clean = [s for s in shots if s.has_object and s.rows == 1 and s.state == "linked" and not s.row_mess]
    rng.shuffle(clean)
    supply = iter(clean)
    for kind in _CONDITIONS:
        for _ in range(counts[kind]):
            next(supply).file_mess.append(kind)
    jpegs = [s for s in clean if not s.file_mess or s.file_mess[0].startswith("exif_")]
    for shot in rng.sample(jpegs, min(counts["gps_tag"], len(jpegs))):
        shot.file_mess.append("gps_tag")


def _is_whole_jpeg(stored: StoredObject) -> bool:
    return all(kind.startswith("exif_") or kind == "gps_tag" for kind in stored.mess)


def _original(rng: random.Random, shot: Shot, number: int) -> StoredObject:
    condition = next((kind for kind in shot.file_mess if kind in _CONDITIONS), "")
    uuid_named = condition == "uuid_named_object"
    return StoredObject(
        key=DUMP_PREFIX + _file_name(rng, shot, condition),
        role="original",
        picture=_picture(rng, shot, condition, number),
        recid=None if uuid_named else shot.recid,
        image_id=shot.image_id if uuid_named else None,
        has_row=shot.rows > 0,
        mess=(*shot.file_mess, *(() if shot.rows else ("object_without_row",))),
    )


def _file_name(rng: random.Random, shot: Shot, condition: str) -> str:
    if condition == "uuid_named_object":
        return f"{shot.image_id if rng.random() < 0.5 else shot.image_id.lower()}.jpg"
    if condition == "nested_object":
        return f"{shot.recid}.jpg/{sample_uuid('nested', shot.image_id)}.jpg"
    if condition == "no_extension":
        return shot.recid
    if condition == "upper_case_extension":
        return f"{shot.recid}.JPG"
    if not condition and rng.random() < 0.05:
        return f"{shot.recid}.jpeg"
    return shot.recid + _SUFFIXES.get(condition, ".jpg")


def _picture(rng: random.Random, shot: Shot, condition: str, number: int) -> Picture:
    width, height = rng.choices(_SHAPES, _SHAPE_WEIGHTS)[0]
    view, side = view_and_side(shot.type)
    upright = Picture(
        view=view,
        side=side,
        label=shot.recid,
        width=width,
        height=height,
        variation=number,
        orientation=rng.choice((0, 1)),
        taken=shot.taken,
        gps="gps_tag" in shot.file_mess,
    )
    if condition in _SUFFIXES:
        return replace(upright, format=condition.upper(), orientation=0)
    if condition == "wrong_extension":
        return replace(upright, format="PNG", orientation=0)
    if condition == "truncated_jpeg":
        return replace(upright, damage="cut_in_header" if number % 3 == 0 else "truncated")
    if condition == "zero_byte_file":
        return replace(upright, damage="zero_byte")
    if condition.startswith("exif_orientation_"):
        return replace(upright, orientation=int(condition[-1]))
    return upright


def _thumbnail(original: StoredObject) -> StoredObject:
    if original.picture is None:
        raise ValueError("only pictures have thumbnails")
    return replace(
        original,
        key=f"{DUMP_PREFIX}{original.recid}_thumb.jpg",
        role="thumbnail",
        picture=replace(original.picture, thumbnail=True),
        mess=("thumbnail_object",),
    )
