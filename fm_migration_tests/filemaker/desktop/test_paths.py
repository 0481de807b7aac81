"""Paths of a desktop export as FileMaker, macOS, Windows and people write them."""

from __future__ import annotations

import unicodedata
import uuid
from collections.abc import Callable
from datetime import date
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fm_migration.filemaker.desktop.days import read_days
from fm_migration.filemaker.desktop.paths import PathFacts, is_manifest, read_path
from fm_migration.filemaker.desktop.states import State

PATIENT = "6F9C2B1E-0A4D-4C7B-9E21-5D3C8A7B6F10"
OTHER = "0B1D5E7A-3C42-4F6E-8A9B-2D4C6E8F0A12"
IMAGE = "a3c5e7f9-1b2d-4f60-8a9c-0d1e2f304152"
TODAY = date(2025, 3, 10)


def _said(path: str) -> tuple[str | None, str | None, str, str]:
    found = read_path(path)
    assert found.trouble is None
    return found.recid, found.image_id, found.contact, found.date


@pytest.mark.parametrize(
    ("path", "contact", "day"),
    [
        (f"{PATIENT}/2016-10-18/{IMAGE}.jpg", PATIENT, "2016-10-18"),
        (f"exports/{PATIENT}/2016-10-18/{IMAGE}.jpg", PATIENT, "2016-10-18"),
        (f"Exports/{PATIENT}/2016-10-18/{IMAGE}.jpg", PATIENT, "2016-10-18"),
        (f"{PATIENT.lower()}/10-18-2016/{IMAGE}.jpg", PATIENT.lower(), "10-18-2016"),
        (f"{PATIENT}/18.10.2016/{IMAGE}.jpg", PATIENT, "18.10.2016"),
        (f"{PATIENT}/10/18/2016/{IMAGE}.jpg", PATIENT, "10/18/2016"),
        (f"{PATIENT}/2016/10/18/{IMAGE}.jpg", PATIENT, "2016/10/18"),
        (f"{PATIENT}/10:18:2016/{IMAGE}.jpg", PATIENT, "10/18/2016"),
        (f"{PATIENT}/10\uf02218\uf0222016/{IMAGE}.jpg", PATIENT, "10/18/2016"),
        (f"{PATIENT}/{IMAGE}.jpg", PATIENT, ""),
        (f"{PATIENT}/undated/{IMAGE}.jpg", PATIENT, ""),
        (f"2016-10-18/{IMAGE}.jpg", "", "2016-10-18"),
        (f"10/18/2016/{IMAGE}.jpg", "", "10/18/2016"),
        (f"unlinked/2016-10-18/{IMAGE}.jpg", "", "2016-10-18"),
        (f"Unlinked/{IMAGE}.jpg", "", ""),
        (f"/2016-10-18/{IMAGE}.jpg", "", "2016-10-18"),
        (f"{IMAGE}.jpg", "", ""),
        (f"{PATIENT}/2016-10-18/Dorsal/{IMAGE}.jpg", PATIENT, "2016-10-18"),
        (f"{PATIENT}/visit/10/18/2016/{IMAGE}.jpg", PATIENT, "10/18/2016"),
        (f"2016-10-18/{PATIENT}/{IMAGE}.jpg", PATIENT, "2016-10-18"),
        (f"{{{PATIENT}}}/2016-10-18 /{IMAGE}.jpg", f"{{{PATIENT}}}", "2016-10-18"),
        (f"{PATIENT}./2016-10-18/{IMAGE}.jpg", PATIENT, "2016-10-18"),
        (f"no-uuid/2016-10-18/{IMAGE}.jpg", "no-uuid", "2016-10-18"),
    ],
)
def test_folders_name_the_patient_and_the_day(path: str, contact: str, day: str) -> None:
    assert _said(path) == (None, IMAGE, contact, day)


@pytest.mark.parametrize(
    ("name", "recid", "image_id", "again", "extension"),
    [
        ("1000.jpg", "1000", None, False, "jpg"),
        ("0077.JPG", "0077", None, False, "jpg"),
        ("1000", "1000", None, False, ""),
        ("1000.", "1000", None, False, ""),
        ("1000 1.jpg", "1000", None, True, "jpg"),
        ("1000 (1).jpg", "1000", None, True, "jpg"),
        ("1000(2).jpg", "1000", None, True, "jpg"),
        ("1000_2.jpeg", "1000", None, True, "jpeg"),
        ("1000 copy.jpg", "1000", None, True, "jpg"),
        ("1000 copy 2.jpg", "1000", None, True, "jpg"),
        ("1000 - Copy (2).jpg", "1000", None, True, "jpg"),
        ("1000.jpg.jpg", "1000", None, False, "jpg"),
        (f"{IMAGE}.heic", None, IMAGE, False, "heic"),
        (f"{IMAGE.upper()}.JPG", None, IMAGE, False, "jpg"),
        (f"{IMAGE.replace('-', '')}.jpg", None, IMAGE, False, "jpg"),
        (f"{{{IMAGE}}}.jpg", None, IMAGE, False, "jpg"),
        (f"{IMAGE} 1.PNG", None, IMAGE, True, "png"),
    ],
)
def test_names_are_ids_with_the_marks_of_second_copies(
    name: str, recid: str | None, image_id: str | None, again: bool, extension: str
) -> None:
    found = read_path(f"{PATIENT}/2016-10-18/{name}")
    assert found == PathFacts(None, recid, image_id, PATIENT, "2016-10-18", again, extension)


@pytest.mark.parametrize(
    ("path", "state"),
    [
        (".DS_Store", State.CLUTTER),
        (f"{PATIENT}/.ds_store", State.CLUTTER),
        (f"{PATIENT}/2016-10-18/._1000.jpg", State.CLUTTER),
        (f"{PATIENT}/Thumbs.db", State.CLUTTER),
        (f"{PATIENT}/desktop.ini", State.CLUTTER),
        ("__MACOSX/1000.jpg", State.CLUTTER),
        (f"{PATIENT}/@eaDir/1000.jpg", State.CLUTTER),
        (f"{PATIENT}/2016-10-18/.1000.jpg.Xy12ab", State.GROWING),
        (f"{PATIENT}/2016-10-18/1000.jpg.part", State.GROWING),
        (f"{PATIENT}/2016-10-18/1000.jpg.crdownload", State.GROWING),
        (f"{PATIENT}/2016-10-18/.1000.jpg.icloud", State.GROWING),
        (f"{PATIENT}/2016-10-18/CON.jpg", State.RESERVED_NAME),
        (f"{PATIENT}/lpt1/1000.jpg", State.RESERVED_NAME),
        (f"{PATIENT}/2016-10-18/left foot.jpg", State.MISNAMED),
        (f"{PATIENT}/2016-10-18/1000-2.jpg", State.MISNAMED),
        (f"{PATIENT}/2016-10-18/1234567890123456789.jpg", State.MISNAMED),
        (f"{PATIENT}/2016-10-18/10\x0000.jpg", State.MISNAMED),
        (f"{PATIENT}/2016-10-18/", State.MISNAMED),
        (f"{PATIENT}/2016-10-18/1000_thumb.jpg", State.THUMBNAIL),
        (f"a/b/{PATIENT}/2016-10-18/1000.jpg", State.MISPLACED),
        (f"{PATIENT}/../1000.jpg", State.MISPLACED),
        ("../1000.jpg", State.MISPLACED),
        (f"{PATIENT}/{OTHER}/2016-10-18/1000.jpg", State.CONTRADICTS),
        (f"{PATIENT}/2016-10-18/2016-10-19/1000.jpg", State.CONTRADICTS),
        (f"unlinked/{PATIENT}/2016-10-18/1000.jpg", State.CONTRADICTS),
    ],
)
def test_what_does_not_fit_has_a_state(path: str, state: State) -> None:
    assert read_path(path).trouble is state


def test_one_patient_named_twice_is_one_patient() -> None:
    assert _said(f"{PATIENT}/2016-10-18/{PATIENT.lower()}/1000.jpg") == ("1000", None, PATIENT, "2016-10-18")


def test_composed_and_decomposed_names_say_the_same() -> None:
    folder = unicodedata.normalize("NFD", "Füße")
    assert read_path(f"{folder}/2016-10-18/1000.jpg").contact == unicodedata.normalize("NFC", "Füße")


def test_only_the_folder_itself_and_exports_below_it_hold_manifests() -> None:
    assert is_manifest("manifest.tsv")
    assert is_manifest("exports/Manifest-20250310-101500.tsv")
    assert not is_manifest(f"{PATIENT}/manifest.tsv")
    assert not is_manifest("manifest.jpg")


@given(st.text())
def test_any_text_has_an_answer(path: str) -> None:
    found = read_path(path)
    assert found.trouble is not None or found.recid or found.image_id


_DATES: dict[str, Callable[[date], str]] = {
    "iso": lambda day: day.isoformat(),
    "american": lambda day: f"{day.month}-{day.day}-{day.year}",
    "padded": lambda day: f"{day.month:02}-{day.day:02}-{day.year}",
    "german": lambda day: f"{day.day:02}.{day.month:02}.{day.year}",
    "folders": lambda day: f"{day.month:02}/{day.day:02}/{day.year}",
    "colons": lambda day: f"{day.month}:{day.day}:{day.year}",
    "none": lambda _day: "",
}


@given(
    patient=st.one_of(st.uuids(), st.none()),
    upper=st.booleans(),
    day=st.dates(date(1991, 1, 13), TODAY).filter(lambda day: day.day > 12),
    style=st.sampled_from(sorted(_DATES)),
    image=st.one_of(st.uuids(), st.integers(0, 10**18 - 1)),
    mark=st.sampled_from(["", " 1", " (1)", "_2", " copy"]),
    extension=st.sampled_from(["", ".jpg", ".JPG", ".heic", ".tiff"]),
    between=st.sampled_from(["", "Dorsal", "Füße"]),
    form=st.sampled_from(["NFC", "NFD"]),
)
def test_what_is_written_into_a_path_is_read_out_of_it(
    patient: uuid.UUID | None,
    upper: bool,
    day: date,
    style: str,
    image: uuid.UUID | int,
    mark: str,
    extension: str,
    between: str,
    form: Literal["NFC", "NFD"],
) -> None:
    contact = "unlinked" if patient is None else str(patient)
    contact = contact.upper() if upper else contact
    folders = [folder for folder in (contact, _DATES[style](day), between) if folder]
    path = unicodedata.normalize(form, "/".join([*folders, f"{image}{mark}{extension}"]))
    found = read_path(path)
    assert found.trouble is None
    assert found.contact == ("" if patient is None else contact)
    assert (found.recid, found.image_id) == ((str(image), None) if isinstance(image, int) else (None, str(image)))
    assert found.again == bool(mark)
    assert found.extension == extension[1:].lower()
    days = read_days([found.date], TODAY)
    assert days.iso.get(found.date, "") == ("" if style == "none" else day.isoformat())
