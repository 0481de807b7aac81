"""Desktop exports in folders of a test's own: pictures, folders and the manifest, as the script makes them."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

from PIL import Image

from fm_migration_tests.filemaker.desktop.writing import PATIENT, line, manifest, path_of


@cache
def _plain(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (120, 90, 60)).save(buffer, form)
    return buffer.getvalue()


def picture(number: int) -> bytes:
    """A small JPEG that no other number has."""
    said = f"photograph {number}".encode()
    plain = _plain("JPEG")
    return plain[:2] + b"\xff\xfe" + (len(said) + 2).to_bytes(2, "big") + said + plain[2:]


def of_format(form: str) -> bytes:
    return _plain(form)


class DesktopExport:
    """An export that a test fills, in `exports` below a folder."""

    def __init__(self, above: Path) -> None:
        self.root = above / "exports"
        self.root.mkdir(parents=True)
        self._lines: list[str] = []

    def file(self, path: str, body: bytes) -> Path:
        """A file that not changed for an hour."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        return file

    def photograph(
        self, number: int, body: bytes | None = None, *, patient: str = PATIENT, day: str = "2016-10-18", **said: str
    ) -> Path:
        """A record as the script exports it, with its line in the manifest; `body` is what arrived."""
        left = picture(number)
        path = path_of(number, patient, day)
        self.line(line(number, left, **{"id_Contact": patient, "date": day, "path": path, **said}))
        return self.file(path, left if body is None else body)

    def line(self, text: str) -> None:
        self._lines.append(text)
        (self.root / "manifest-20250310-101500.tsv").write_bytes(manifest(*self._lines))
