"""What there is to know about how an export was written, as a value.

Belongs here: the `Dialect` and how it is shown. Does not belong here: finding it out (`sniffing.py`).
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Literal

Format = Literal["csv", "tab", "mer", "xlsx"]

_SHOWN = {"\r\n": "CRLF", "\n": "LF", "\r": "CR", ",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", "": "none"}
_MARKS = {"utf-8": codecs.BOM_UTF8, "utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the text of an export was written. For .xlsx only `format` and `header` mean anything."""

    format: Format = "csv"
    encoding: str = "utf-8"
    bom: bool = False
    record_separator: str = "\r\n"
    delimiter: str = ","
    #: Whether cells may stand in quotation marks. FileMaker's .tab has none: a mark in it is text.
    quoted: bool = True
    header: bool = False
    #: Whether some bytes are not text in this encoding; they read as U+FFFD and their rows are flagged.
    damaged: bool = False

    @property
    def mark(self) -> bytes:
        """The byte order mark at the start of the file."""
        return _MARKS.get(self.encoding, b"") if self.bom else b""

    def as_metadata(self) -> dict[str, str | bool]:
        """The dialect in words and booleans, for a catalogue."""
        if self.format == "xlsx":
            return {"format": self.format, "header": self.header}
        return {
            "format": self.format,
            "encoding": self.encoding,
            "bom": self.bom,
            "record_separator": _SHOWN.get(self.record_separator, repr(self.record_separator)),
            "delimiter": _SHOWN.get(self.delimiter, repr(self.delimiter)),
            "quoted": self.quoted,
            "header": self.header,
            "damaged": self.damaged,
        }
