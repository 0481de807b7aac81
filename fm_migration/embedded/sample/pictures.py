"""Drawing the sample's photographs: feet that nobody has, with the view, the side and a number written on them.

Bytes out, nothing else; the same `Picture` always gives the same bytes with the same Pillow. The scene of a
view, side and shape is drawn once and kept; each photograph then differs by exposure, crop and label, so that a
whole clinic takes seconds. The camera, and the place that its GPS tag names, are invented.
"""

from __future__ import annotations

import functools
import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from fm_migration.embedded.sample.model import Picture
from fm_migration.errors import SettingsError

_CROP = 8  # pixels that a photograph may be shifted by
_SHORT, _LONG = 480 + _CROP, 640 + _CROP
_THUMBNAIL = (300, 300)
_QUALITY = 80
_SKIN = ((224, 176, 144), (201, 150, 118), (164, 112, 84), (236, 196, 172))
_FLOOR = ((118, 132, 140), (150, 144, 132), (92, 108, 116), (176, 180, 178))
#: Views in which left and right look swapped, compared with a look from above or from behind.
_FROM_THE_FRONT = ("plantar", "anterior")
#: What the stored pixels must go through so that the EXIF orientation turns them back upright.
_STORE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_MIME = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "HEIC": "image/heic",
    "PDF": "application/pdf",
}


def mime_type(picture: Picture) -> str:
    """What the content is, whatever the name says."""
    return _MIME["JPEG" if picture.thumbnail else picture.format]


def scene_of(picture: Picture) -> tuple[str, str, bool, int]:
    """Which scene it shows. Drawn in this order, a whole clinic needs one scene at a time in memory."""
    return picture.view, picture.side, picture.width > picture.height, picture.variation % len(_SKIN)


def thumbnail_size(picture: Picture) -> tuple[int, int]:
    """Width and height of the thumbnail that the clinic's command makes: of the pixels as they are stored."""
    turned = picture.orientation >= 5
    width, height = (picture.height, picture.width) if turned else (picture.width, picture.height)
    scale = max(width, height) / max(_THUMBNAIL)
    return round(width / scale), round(height / scale)


def upright(picture: Picture) -> Image.Image:
    """The photograph as a person should see it."""
    shift = picture.variation * 5 % _CROP, picture.variation * 3 % _CROP
    scene = _scene(*scene_of(picture))
    image = scene.crop((*shift, shift[0] + picture.width, shift[1] + picture.height))
    image = image.point(_exposure(picture.variation % 97))
    _write_labels(image, picture)
    return image


def draw(picture: Picture) -> bytes:
    """The bytes of the file."""
    if picture.damage == "zero_byte":
        return b""
    image = upright(picture)
    if picture.orientation in _STORE:
        image = image.transpose(_STORE[picture.orientation])
    if picture.thumbnail:
        # As the clinic's command does it: stored pixels, no orientation. Turned photographs get sideways ones.
        image.thumbnail(_THUMBNAIL, Image.Resampling.LANCZOS)
        return _jpeg(image, b"")
    if picture.format != "JPEG":
        return _other_format(image, picture)
    content = _jpeg(image, _exif(picture))
    if picture.damage == "truncated":
        return content[: len(content) * 6 // 10]
    if picture.damage == "cut_in_header":
        return content[:200]
    return content


# --- formats --------------------------------------------------------------------------------------


def _jpeg(image: Image.Image, exif: bytes) -> bytes:
    target = io.BytesIO()
    image.save(target, "JPEG", quality=_QUALITY, exif=exif)
    return target.getvalue()


def _other_format(image: Image.Image, picture: Picture) -> bytes:
    target = io.BytesIO()
    if picture.format == "HEIC":
        _heif_image(image, target)
    elif picture.format == "PDF":
        return _pdf(image)
    elif picture.format == "GIF":
        image.quantize(64).save(target, "GIF")
    elif picture.format == "PNG":
        # Fast compression: the noise of a photograph does not get smaller for more work.
        image.save(target, "PNG", compress_level=1)
    else:
        image.save(target, picture.format)
    return target.getvalue()


def _heif_image(image: Image.Image, target: io.BytesIO) -> None:
    try:
        import pillow_heif
    except ImportError as error:
        raise SettingsError(
            "drawing the sample's photographs in",
            "HEIC",
            "pillow-heif is not installed",
            'Install the extra: pip install "fm_migration[pictures]"',
        ) from error
    pillow_heif.from_pillow(image).save(target, quality=50, enc_params={"preset": "ultrafast"})


def _pdf(image: Image.Image) -> bytes:
    """One page with a picture on it. By hand, because Pillow writes the time of day into its own."""
    content = _jpeg(image, b"")
    width, height = image.size
    page = f"q {width} 0 0 {height} 0 0 cm /Im0 Do Q".encode()
    bodies = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents 4 0 R "
        b"/Resources << /XObject << /Im0 5 0 R >> >> >>" % (width, height),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(page), page),
        b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceRGB "
        b"/BitsPerComponent 8 /Filter /DCTDecode /Length %d >>\nstream\n%s\nendstream"
        % (width, height, len(content), content),
    )
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(bodies, start=1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    table = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1))
    out.writelines(b"%010d 00000 n \n" % offset for offset in offsets)
    out.write(b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(bodies) + 1, table))
    return out.getvalue()


def _exif(picture: Picture) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "Lumenta"
    exif[0x0110] = "Podograph 7"
    if picture.orientation:
        exif[0x0112] = picture.orientation
    if picture.taken:
        exif[0x0132] = f"{picture.taken:%Y:%m:%d} 12:{picture.variation % 60:02d}:00"
    if picture.gps:
        # A point in the open South Atlantic.
        exif[0x8825] = {
            1: "S",
            2: (31.0, 14.0, float(picture.variation % 60)),
            3: "W",
            4: (17.0, 42.0, 7.0),
        }
    return exif.tobytes()


# --- scenes ---------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


@functools.lru_cache(maxsize=128)
def _exposure(step: int) -> list[int]:
    gain = [0.90 + 0.20 * ((step * k) % 97) / 96 for k in (1, 5, 11)]
    return [min(255, round(value * g)) for g in gain for value in range(256)]


def _write_labels(image: Image.Image, picture: Picture) -> None:
    pen = ImageDraw.Draw(image)
    width, height = image.size
    pen.text((12, 6), picture.side or "L+R", font=_font(64), fill=(20, 24, 40))
    pen.text((12, height - 42), picture.view.upper(), font=_font(30), fill=(20, 24, 40))
    pen.text((width - 12, height - 42), picture.label, font=_font(30), fill=(20, 24, 40), anchor="ra")


@functools.lru_cache(maxsize=24)
def _scene(view: str, side: str, landscape: bool, take: int) -> Image.Image:
    """Background, subject and noise, larger than any photograph of it so that each can be cut out elsewhere."""
    image = _floor(landscape, take).copy()
    if view == "card":
        _draw_card(image)
    elif side:
        _place(image, view, side, take, (0.5, 0.5), 0.86)
    else:
        # Whoever looks at soles or faces the patient has the left foot on the right.
        left, right = (0.72, 0.28) if view in _FROM_THE_FRONT else (0.28, 0.72)
        _place(image, view, "L", take, (left, 0.52), 0.72)
        _place(image, view, "R", take, (right, 0.52), 0.72)
    return _with_noise(image, take)


@functools.lru_cache(maxsize=8)
def _floor(landscape: bool, take: int) -> Image.Image:
    """Lit from one corner, like every photograph of a floor; larger than the photographs cut from it."""
    width, height = (_LONG, _SHORT) if landscape else (_SHORT, _LONG)
    ramp = np.linspace(1.12, 0.82, height)[:, None] * np.linspace(1.04, 0.94, width)[None, :]
    pixels = np.asarray(_FLOOR[take], dtype=np.float32) * ramp[:, :, None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@functools.lru_cache(maxsize=1)
def _noise() -> npt.NDArray[np.int16]:
    return np.random.default_rng(20161018).normal(0, 7, (_LONG, _LONG, 1)).astype(np.int16)


def _with_noise(image: Image.Image, take: int) -> Image.Image:
    noise = np.roll(_noise(), take * 131, axis=0)[: image.height, : image.width]
    pixels = np.asarray(image, dtype=np.int16) + noise
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _place(image: Image.Image, view: str, side: str, take: int, centre: tuple[float, float], share: float) -> None:
    """Put one subject on the floor. Each is drawn once; the other side is its mirror image."""
    subject = _subject(view, take)
    if (side == "R") != (view in _FROM_THE_FRONT or view == "lateral"):
        subject = subject.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    limit = image.width * (share if centre[0] == 0.5 else share * 0.62), image.height * share
    scale = min(limit[0] / subject.width, limit[1] / subject.height)
    subject = subject.resize((round(subject.width * scale), round(subject.height * scale)), Image.Resampling.BILINEAR)
    corner = (
        round(image.width * centre[0] - subject.width / 2),
        round(image.height * centre[1] - subject.height / 2),
    )
    image.paste(subject, corner, subject)


@functools.lru_cache(maxsize=64)
def _subject(view: str, take: int) -> Image.Image:
    skin = _SKIN[take]
    drawers = {
        "posterior": _draw_heel,
        "anterior": _draw_heel,
        "medial": _draw_profile,
        "lateral": _draw_profile,
        "shoe": _draw_shoe,
    }
    canvas = Image.new("RGBA", (400, 640))
    if view in ("medial", "lateral"):
        canvas = Image.new("RGBA", (640, 460))
    drawers.get(view, _draw_foot)(ImageDraw.Draw(canvas), skin)
    pen = ImageDraw.Draw(canvas)
    if view == "plantar":
        _draw_sole(pen, skin)
    elif view == "wound":
        pen.ellipse((170, 330, 235, 385), fill=(150, 44, 44, 255), outline=(110, 30, 36, 255), width=6)
    elif view == "brannock":
        _draw_gauge(pen)
    elif view == "lateral":
        pen.ellipse((120, 150, 175, 205), fill=_shade(skin, 1.08))
    return canvas.filter(ImageFilter.BoxBlur(2))


def _shade(colour: tuple[int, int, int], factor: float) -> tuple[int, int, int, int]:
    red, green, blue = (min(255, round(part * factor)) for part in colour)
    return red, green, blue, 255


def _draw_foot(pen: ImageDraw.ImageDraw, skin: tuple[int, int, int]) -> None:
    """A left foot from above, or a right one from below: five toes, the big one on the right."""
    fill = _shade(skin, 1.0)
    pen.ellipse((110, 400, 290, 630), fill=fill)
    pen.polygon([(112, 520), (60, 260), (90, 170), (320, 150), (335, 270), (288, 520)], fill=fill)
    pen.ellipse((55, 150, 340, 330), fill=fill)
    toes = ((268, 20, 348, 180), (208, 34, 266, 180), (156, 58, 210, 190), (106, 90, 158, 210), (58, 132, 108, 236))
    for toe in toes:
        pen.rounded_rectangle(toe, radius=(toe[2] - toe[0]) // 2, fill=fill, outline=_shade(skin, 0.82), width=3)
        middle = (toe[0] + toe[2]) // 2
        half = (toe[2] - toe[0]) // 4
        nail = (middle - half, toe[1] + 8, middle + half, toe[1] + 8 + 2 * half)
        pen.rounded_rectangle(nail, radius=half // 2, fill=_shade(skin, 1.15))


def _draw_sole(pen: ImageDraw.ImageDraw, skin: tuple[int, int, int]) -> None:
    """The sole: pads at the ball and the heel, the arch on the big toe's side. It covers the nails."""
    pad = _shade(skin, 0.88)
    pen.ellipse((70, 190, 325, 320), fill=pad)
    pen.ellipse((130, 470, 272, 615), fill=pad)
    pen.polygon([(100, 300), (170, 300), (190, 500), (140, 510)], fill=pad)
    for toe in ((276, 28, 340, 110), (214, 42, 260, 96), (162, 66, 204, 116), (112, 98, 152, 144), (64, 140, 102, 180)):
        pen.ellipse(toe, fill=pad)


def _draw_heel(pen: ImageDraw.ImageDraw, skin: tuple[int, int, int]) -> None:
    """A left lower leg from behind: calf, ankle with the higher bone on the right, and the foot below it."""
    fill = _shade(skin, 1.0)
    pen.polygon([(90, 0), (310, 0), (270, 380), (140, 380)], fill=fill)
    pen.ellipse((120, 330, 290, 480), fill=fill)
    pen.ellipse((100, 420, 300, 620), fill=fill)
    pen.ellipse((258, 350, 306, 402), fill=_shade(skin, 1.1))
    pen.ellipse((106, 384, 150, 434), fill=_shade(skin, 0.92))
    pen.line([(205, 120), (205, 470)], fill=_shade(skin, 0.85), width=8)


def _draw_profile(pen: ImageDraw.ImageDraw, skin: tuple[int, int, int]) -> None:
    """A left foot from its inner side: toes to the right."""
    fill = _shade(skin, 1.0)
    pen.polygon([(80, 0), (240, 0), (250, 190), (560, 330), (610, 420), (60, 430), (50, 300)], fill=fill)
    pen.ellipse((30, 290, 160, 440), fill=fill)
    pen.ellipse((500, 330, 632, 436), fill=fill)
    pen.chord((190, 390, 450, 480), 180, 360, fill=_shade(skin, 0.7))
    pen.rounded_rectangle((590, 342, 628, 372), radius=10, fill=_shade(skin, 1.15))


def _draw_shoe(pen: ImageDraw.ImageDraw, _skin: tuple[int, int, int]) -> None:
    """A left shoe from above."""
    pen.polygon(
        [(110, 560), (70, 260), (110, 90), (250, 30), (330, 120), (325, 280), (285, 560)], fill=(52, 46, 44, 255)
    )
    pen.ellipse((105, 450, 292, 630), fill=(52, 46, 44, 255))
    pen.ellipse((135, 380, 262, 600), fill=(120, 104, 92, 255))
    for y in range(200, 360, 36):
        pen.line([(150, y), (250, y + 12)], fill=(222, 218, 206, 255), width=8)


def _draw_gauge(pen: ImageDraw.ImageDraw) -> None:
    """The scale of a Brannock device, along the foot."""
    pen.rectangle((0, 20, 40, 620), fill=(196, 200, 204, 255), outline=(60, 60, 66, 255), width=3)
    for number, y in enumerate(range(40, 610, 19)):
        pen.line([(40, y), (12 if number % 5 == 0 else 26, y)], fill=(30, 30, 36, 255), width=3)


def _draw_card(image: Image.Image) -> None:
    """A card or form with lines that say nothing."""
    pen = ImageDraw.Draw(image)
    width, height = image.size
    left, top, right, bottom = width * 0.12, height * 0.28, width * 0.88, height * 0.72
    pen.rounded_rectangle((left, top, right, bottom), radius=18, fill=(226, 232, 222), outline=(90, 110, 96), width=4)
    for row in range(5):
        y = top + (bottom - top) * (0.22 + 0.15 * row)
        pen.rectangle((left + 24, y, left + 24 + (right - left) * (0.8 - 0.09 * row), y + 8), fill=(120, 130, 136))
