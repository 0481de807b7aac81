"""The first page of a PDF as a picture, when a renderer is installed.

Belongs here: PDFs, which the clinic's dump holds beside the photographs. Does not belong here: reading their text.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

from fm_migration.images.decoding import Decoded, RefusedError
from fm_migration.images.outcome import RefusalReason
from fm_migration.images.recipe import Recipe

#: Drawn this much larger than the thumbnail and then shrunk, so that thin lines stay visible.
_MARGIN = 2
_PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD
#: The renderer is not made for two threads, not even with a document each.
_ONE_AT_A_TIME = Lock()


def can_render() -> bool:
    return _pdfium() is not None


def render(data: bytes, recipe: Recipe) -> Decoded:
    """The first page, upright: a PDF's own rotation is applied by the renderer. Raises `RefusedError`."""
    with _ONE_AT_A_TIME:
        return _render(data, recipe)


def _render(data: bytes, recipe: Recipe) -> Decoded:
    pdfium = _pdfium()
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        locked = getattr(error, "err_code", None) == _PASSWORD_ERROR
        raise RefusedError(RefusalReason.ENCRYPTED if locked else RefusalReason.DAMAGED) from error
    try:
        if len(document) == 0:
            raise RefusedError(RefusalReason.DAMAGED, "no pages")
        return _first_page(document, recipe)
    except pdfium.PdfiumError as error:
        raise RefusedError(RefusalReason.DAMAGED) from error
    finally:
        document.close()


def _first_page(document: Any, recipe: Recipe) -> Decoded:
    page = document[0]
    width, height = page.get_size()
    longest = max(width, height)
    if not longest > 0:
        raise RefusedError(RefusalReason.DAMAGED, "the first page has no size")
    # A page has no pixels, so it may be enlarged: a stamp's page is as readable as a poster's.
    bitmap = page.render(scale=recipe.side * _MARGIN / longest)
    image = bitmap.to_pil().convert("RGB")
    return Decoded(image, max(1, round(width)), max(1, round(height)))


def _pdfium() -> Any:
    try:
        import pypdfium2
    except ImportError:
        return None
    return pypdfium2
