"""A page with the thumbnails of a run under our own ids, for an operator who wants to look at what was made.

It shows patients' photographs, so it is a local file that only its owner may read, and nothing but its existence is
told to Dagster.
"""

from __future__ import annotations

import base64
import html
import os
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Contact sheet</title>
<meta name="robots" content="noindex">
<style>
body { font: 13px sans-serif; margin: 1em; background: #f4f4f4; color: #222; }
figure { display: inline-block; width: 310px; margin: 0 8px 16px 0; vertical-align: top; }
figure div { height: 300px; display: flex; align-items: center; justify-content: center; background: #fff; }
figcaption { padding: 4px 0; overflow-wrap: anywhere; }
</style></head><body>
<h1>Contact sheet</h1>
"""


class ContactSheet:
    """Written picture by picture, so that it may be of any length; readable from the first one on."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file = os.fdopen(file, "w", encoding="utf-8")
        self._file.write(_HEAD)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.write("</body></html>\n")
        self._file.close()

    def add(self, clinic_image: UUID, state: str, words: str, thumbnail: bytes, mime_type: str) -> None:
        """One image, or in place of the picture why there is none."""
        content = base64.b64encode(thumbnail).decode("ascii")
        picture = f'<img src="data:{html.escape(mime_type)};base64,{content}" alt="">' if thumbnail else "no thumbnail"
        caption = html.escape(f"{clinic_image} · {state}{' · ' + words if words else ''}")
        self._file.write(f"<figure><div>{picture}</div><figcaption>{caption}</figcaption></figure>\n")
