"""The manifest of the export script, in every form in which it may arrive."""

from __future__ import annotations

import unicodedata

import pytest

from fm_migration.errors import ExportError
from fm_migration.filemaker.desktop.manifest import line_of, read_manifests
from fm_migration_tests.filemaker.desktop.writing import (
    HEADER,
    OTHER,
    PATIENT,
    image_id,
    line,
    manifest,
    md5_of,
    path_of,
)

BODY = b"picture"


def test_a_line_says_what_should_have_arrived() -> None:
    read = read_manifests([("manifest.tsv", manifest(line(1000, BODY)))])
    (found,) = read.lines
    assert (found.recid, found.image_id, found.contact, found.date) == (
        "1000",
        image_id(1000).lower(),
        PATIENT,
        "2016-10-18",
    )
    assert (found.type, found.container, found.file_name) == ("Dorsal", "image_Full", "IMG_1000.JPG")
    assert (found.bytes, found.md5, found.error) == (len(BODY), md5_of(BODY), 0)
    assert line_of(read, path_of(1000)) is found
    assert (read.refused, read.unfinished) == (0, 0)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "mac-roman"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends_are_found_out(encoding: str, end: str) -> None:
    text = "".join(f"{row}{end}" for row in (HEADER, line(1, BODY, type="Fuß, links"), line(2, BODY, type="Ferse")))
    read = read_manifests([("manifest.tsv", text.encode(encoding))])
    assert [found.type for found in read.lines] == ["Fuß, links", "Ferse"]


def test_columns_may_stand_in_any_order_and_others_among_them() -> None:
    text = f"path\tnote\trecid\tmd5\n{path_of(1)}\thello\t1\t{md5_of(BODY)}\n"
    (found,) = read_manifests([("manifest.tsv", text.encode())]).lines
    assert (found.recid, found.md5, found.contact, found.bytes) == ("1", md5_of(BODY), None, None)


def test_a_manifest_without_a_header_is_read_by_position() -> None:
    (found,) = read_manifests([("manifest.tsv", f"{line(1, BODY)}\n".encode())]).lines
    assert found.path == path_of(1)


@pytest.mark.parametrize("text", ["hello\n", "recid\tid\n", "path\tbytes\n", "<html>\n<body>\n"])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ExportError, match="reading the manifest manifest 1"):
        read_manifests([("manifest 1", text.encode())])


def test_an_empty_manifest_has_no_lines() -> None:
    assert read_manifests([("manifest.tsv", b"")]).lines == ()


def test_half_a_line_is_not_taken_for_a_whole_one() -> None:
    """The script was stopped, or is still writing: an MD5 that is cut off in the middle would be another one."""
    whole = manifest(line(1, BODY), line(2, BODY))
    read = read_manifests([("manifest.tsv", whole[:-20])])
    assert [found.recid for found in read.lines] == ["1"]
    assert read.unfinished == 1


def test_lines_that_name_no_record_are_counted() -> None:
    text = manifest(line(1, BODY), "two\tcells", line(2, BODY, recid="x", id="y"), line(3, BODY, recid=""))
    read = read_manifests([("manifest.tsv", text)])
    assert [found.image_id for found in read.lines] == [image_id(1).lower(), image_id(3).lower()]
    assert read.refused == 2


@pytest.mark.parametrize(
    "written",
    [
        f"exports/{path_of(1)}",
        f"filemac:/Macintosh HD/Users/desk/Desktop/exports/{path_of(1)}",
        f"filewin:/C:/Users/desk/Desktop/exports/{path_of(1)}",
        f"C:\\Users\\desk\\Desktop\\exports\\{path_of(1)}".replace("/", "\\"),
        f"/{path_of(1).upper()}",
    ],
)
def test_paths_are_compared_below_the_folder_exports(written: str) -> None:
    read = read_manifests([("manifest.tsv", manifest(line(1, BODY, path=written)))])
    assert line_of(read, path_of(1)) is not None
    assert line_of(read, f"exports/{path_of(1)}") is not None
    assert line_of(read, path_of(2)) is None


def test_a_decomposed_name_is_the_same_name() -> None:
    """macOS writes names decomposed, FileMaker's text is composed."""
    written = f"Füße/2016-10-18/{image_id(1)}.jpg"
    read = read_manifests([("manifest.tsv", manifest(line(1, BODY, path=written)))])
    assert line_of(read, unicodedata.normalize("NFD", written)) is not None


def test_of_two_exports_the_later_counts() -> None:
    """The patient was corrected in FileMaker between them, so the file lies in another folder now."""
    first = manifest(line(1, b"old"), line(2, b"same"))
    second = manifest(line(1, b"new", id_Contact=OTHER, path=path_of(1, OTHER)))
    read = read_manifests([("manifest-1.tsv", first), ("manifest-2.tsv", second)])
    assert {(found.recid, found.contact, found.md5) for found in read.lines} == {
        ("1", OTHER, md5_of(b"new")),
        ("2", PATIENT, md5_of(b"same")),
    }
    assert line_of(read, path_of(1)) is None


def test_an_export_that_failed_says_nothing_against_one_that_did_not() -> None:
    exported, empty = manifest(line(1, BODY)), manifest(line(1, None))
    for order in ([exported, empty], [empty, exported]):
        read = read_manifests([(f"manifest-{at}.tsv", data) for at, data in enumerate(order)])
        assert [found.error for found in read.lines] == [0]


def test_two_records_of_one_number_are_two_lines() -> None:
    read = read_manifests([("manifest.tsv", manifest(line(1, b"a"), line(1, b"b", id=image_id(9), path=path_of(9))))])
    assert len(read.by_photo["recid 1"]) == 2
