"""What can be wrong with a row or doubtful about an export, what that means, and what a person can do.

Belongs here: the names, meanings and remedies, in one place, so that a check, a report and the docs say the
same. Does not belong here: finding the problems (`records.py`, `dates.py` and `rows.py` do).
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class _Facts(NamedTuple):
    meaning: str
    remedy: str
    blocks_linking: bool = False


class Problem(StrEnum):
    """A problem of one row. The row is kept and flagged, never dropped."""

    MISSING_CELLS = "missing_cells"
    EXTRA_CELLS = "extra_cells"
    BROKEN_QUOTING = "broken_quoting"
    SWALLOWED_LINES = "swallowed_lines"
    UNDECODABLE_TEXT = "undecodable_text"
    NUL_CHARACTER = "nul_character"
    MISSING_RECID = "missing_recid"
    MALFORMED_RECID = "malformed_recid"
    DUPLICATE_RECID = "duplicate_recid"
    KNOWN_BY_IMAGE_ID = "known_by_image_id"
    MISSING_IMAGE_ID = "missing_image_id"
    MALFORMED_IMAGE_ID = "malformed_image_id"
    DUPLICATE_IMAGE_ID = "duplicate_image_id"
    MISSING_CONTACT = "missing_contact"
    MALFORMED_CONTACT = "malformed_contact"
    MISSING_DATE = "missing_date"
    IMPOSSIBLE_DATE = "impossible_date"
    IMPLAUSIBLE_DATE = "implausible_date"
    TWO_DIGIT_YEAR = "two_digit_year"
    MISSING_TYPE = "missing_type"
    UNKNOWN_TYPE = "unknown_type"
    OVER_LONG = "over_long"

    @property
    def meaning(self) -> str:
        """What the problem is, in a sentence without its full stop."""
        return _PROBLEMS[self].meaning

    @property
    def remedy(self) -> str:
        """What a person can do about it, as an instruction without its full stop."""
        return _PROBLEMS[self].remedy

    @property
    def blocks_linking(self) -> bool:
        """Whether the row's recid and contact cannot be trusted to belong to one photograph."""
        return _PROBLEMS[self].blocks_linking


_PROBLEMS: dict[Problem, _Facts] = {
    Problem.MISSING_CELLS: _Facts(
        "the row has fewer cells than the file has columns, so a value may stand in the wrong column",
        "Look at the row's raw text; export again when the file was cut off",
        True,
    ),
    Problem.EXTRA_CELLS: _Facts(
        "the row has more cells than the file has columns, so a value may stand in the wrong column",
        "Look for an unquoted delimiter in the row's raw text, and export again as .xlsx or quoted .csv",
        True,
    ),
    Problem.BROKEN_QUOTING: _Facts(
        "a quotation mark opens or closes where it should not; the row was read by its line end",
        "Compare the row with its raw text; correct the quotation mark in FileMaker",
    ),
    Problem.SWALLOWED_LINES: _Facts(
        "one quoted cell spans lines of which each looks like a whole row",
        "Look at the row's raw text for a quotation mark too many; correct it in FileMaker and export again",
        True,
    ),
    Problem.UNDECODABLE_TEXT: _Facts(
        "bytes of the row are not text in the encoding of the file, and read as replacement characters",
        "Set FM_EXPORT_ENCODING if many rows are affected, else correct the text in FileMaker",
    ),
    Problem.NUL_CHARACTER: _Facts(
        "the row holds a NUL character, which the database cannot store; it was replaced",
        "Remove the character in FileMaker",
    ),
    Problem.MISSING_RECID: _Facts(
        "the row has neither recid nor image UUID, so no object of the dump can belong to it",
        "Add the field recid to the export, or give the record one",
        True,
    ),
    Problem.MALFORMED_RECID: _Facts(
        "the recid is not a number of at most 18 digits",
        "Correct the recid in FileMaker; export it as a plain number",
        True,
    ),
    Problem.DUPLICATE_RECID: _Facts(
        "several rows of the export have this recid, and nothing says whose photograph it is",
        "Find the rows by this recid in FileMaker and delete or correct the wrong ones",
        True,
    ),
    Problem.KNOWN_BY_IMAGE_ID: _Facts(
        "the row has no recid, so the photograph is known by its image UUID only",
        "Nothing, where the originals are named by it, as a desktop export without a manifest does; else add the field "
        "recid to the export",
    ),
    Problem.MISSING_IMAGE_ID: _Facts(
        "the row has no image UUID, so the photograph is known by its recid only",
        "Fill the field id in FileMaker",
    ),
    Problem.MALFORMED_IMAGE_ID: _Facts(
        "the image id is not a UUID, so the photograph is known by its recid only",
        "Correct the field id in FileMaker",
    ),
    Problem.DUPLICATE_IMAGE_ID: _Facts(
        "several rows of the export have this image UUID",
        "Give each record an id of its own in FileMaker; a duplicated record keeps the id of its original",
    ),
    Problem.MISSING_CONTACT: _Facts(
        "the row names no patient",
        "Set id_Contact of the record in FileMaker",
        True,
    ),
    Problem.MALFORMED_CONTACT: _Facts(
        "the row's id_Contact is not a UUID, so no patient can be found by it",
        "Correct id_Contact of the record in FileMaker",
        True,
    ),
    Problem.MISSING_DATE: _Facts(
        "the row has no date; its photograph goes to the patient's undated batch",
        "Set the date of the record in FileMaker",
    ),
    Problem.IMPOSSIBLE_DATE: _Facts(
        "the date is not a day of the calendar in the date order of the column",
        "Correct the date in FileMaker, or set FM_DATE_ORDER if many rows are affected",
    ),
    Problem.IMPLAUSIBLE_DATE: _Facts(
        "the date lies before 1990 or in the future",
        "Check the date in FileMaker, and the date order of the column",
    ),
    Problem.TWO_DIGIT_YEAR: _Facts(
        "the year has two digits, so its century was assumed",
        "Export dates with four-digit years",
    ),
    Problem.MISSING_TYPE: _Facts(
        "the row has no Type; its category is other",
        "Choose a Type in FileMaker, or a category in the app",
    ),
    Problem.UNKNOWN_TYPE: _Facts(
        "no word of the Type is in the table of types; its category is other and the text is kept",
        "Add the word to a types file and set FM_EXPORT_TYPES",
    ),
    Problem.OVER_LONG: _Facts(
        "a text is longer than its column in the app; it is kept in full here",
        "Shorten the text in FileMaker; until then the app gets its beginning",
    ),
}


class Caution(StrEnum):
    """A doubt about the whole export that does not stop it."""

    AMBIGUOUS_DATE_ORDER = "ambiguous_date_order"
    GUESSED_ENCODING = "guessed_encoding"
    DAMAGED_TEXT = "damaged_text"
    REFUSED_RECORDS = "refused_records"

    @property
    def meaning(self) -> str:
        """What the doubt is, in a sentence without its full stop."""
        return _CAUTIONS[self].meaning

    @property
    def remedy(self) -> str:
        """What a person can do about it, as an instruction without its full stop."""
        return _CAUTIONS[self].remedy


_CAUTIONS: dict[Caution, _Facts] = {
    Caution.AMBIGUOUS_DATE_ORDER: _Facts(
        "no date of the column proves whether the month or the day comes first; month first was assumed",
        "Set FM_DATE_ORDER to mdy or dmy",
    ),
    Caution.GUESSED_ENCODING: _Facts(
        "the file is in an 8-bit encoding, and which one was guessed from its letters",
        "Look at a name with an accent; set FM_EXPORT_ENCODING to cp1252 or mac-roman if it is wrong",
    ),
    Caution.DAMAGED_TEXT: _Facts(
        "some bytes are not text in the encoding of the file; the rows that hold them are flagged",
        "Export again; if the same rows are affected, set FM_EXPORT_ENCODING",
    ),
    Caution.REFUSED_RECORDS: _Facts(
        "records longer than any row can be were not read",
        "Export again; a record of a megabyte usually is a damaged file",
    ),
}
