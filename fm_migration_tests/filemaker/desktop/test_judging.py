"""Which file is which photograph: nothing is chosen silently, and nothing is taken for another one's."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fm_migration.filemaker.desktop.judging import Bytes, judge, sort_out
from fm_migration.filemaker.desktop.manifest import Manifest, read_manifests
from fm_migration.filemaker.desktop.states import State
from fm_migration_tests.filemaker.desktop.writing import OTHER, PATIENT, image_id, line, manifest, md5_of, path_of

NO_IMAGE, BROKEN = b"<html>", b"broken"


def _states(
    files: Mapping[str, bytes], *lines: str, known: Mapping[str, State] | None = None, **recids: str
) -> dict[str, State | str]:
    """The state of every file; of one that is a photograph, its name in the dump."""
    read = read_manifests([("manifest.tsv", manifest(*lines))]) if lines else Manifest()
    given = {path: (known or {}).get(path) for path in files}
    found = sort_out(given, read, {image_id(int(number[1:])).lower(): recid for number, recid in recids.items()})
    states: dict[str, State | str] = dict(found.states)
    for photograph in found.photographs:
        contents = {one.path: _bytes(files[one.path]) for one in photograph.candidates}
        judged = judge(photograph, contents, read)
        states |= judged.states
        if judged.chosen:
            states[judged.chosen.path] = photograph.stem
    assert states.keys() == files.keys()
    return states


def _bytes(body: bytes) -> Bytes:
    troubles = {b"": State.EMPTY, NO_IMAGE: State.NOT_AN_IMAGE, BROKEN: State.BROKEN}
    return Bytes(len(body), md5_of(body), troubles.get(body))


def test_files_are_named_by_the_manifest() -> None:
    files = {path_of(1): b"one", path_of(2): b"two"}
    assert _states(files, line(1, b"one"), line(2, b"two")) == {path_of(1): "1", path_of(2): "2"}


def test_without_a_manifest_a_file_is_named_by_what_it_is_called() -> None:
    files = {path_of(1): b"one", f"{PATIENT}/2016-10-18/2.jpg": b"two"}
    assert _states(files) == {path_of(1): image_id(1).lower(), f"{PATIENT}/2016-10-18/2.jpg": "2"}


def test_an_image_id_has_the_recid_that_another_source_knows() -> None:
    assert _states({path_of(1): b"one"}, _1="1000") == {path_of(1): "1000"}


def test_a_name_that_says_nothing_is_known_by_the_manifest() -> None:
    """FileMaker's own name of the file, in a folder that is too deep."""
    path = f"a/b/{PATIENT}/IMG 7.jpg"
    assert _states({path: b"one"}, line(1, b"one", path=path)) == {path: "1"}


@pytest.mark.parametrize(
    ("arrived", "state"),
    [
        (b"ONE", State.MD5_DIFFERS),
        (b"on", State.CUT_OFF),
        (b"", State.EMPTY),
        (b"two", State.SWAPPED),
        (NO_IMAGE, State.MD5_DIFFERS),
    ],
)
def test_what_did_not_arrive_as_it_left_is_left(arrived: bytes, state: State) -> None:
    files = {path_of(1): arrived, path_of(2): b"two"}
    assert _states(files, line(1, b"one"), line(2, b"two")) == {path_of(1): state, path_of(2): "2"}


def test_two_files_that_have_changed_places_are_both_left() -> None:
    files = {path_of(1): b"two", path_of(2): b"one"}
    lines = line(1, b"one"), line(2, b"two", id_Contact=OTHER)
    assert _states(files, *lines) == {path_of(1): State.SWAPPED, path_of(2): State.SWAPPED}


def test_without_md5s_the_sizes_count() -> None:
    files = {path_of(1): b"one", path_of(2): b"tw"}
    lines = line(1, b"one", md5=""), line(2, b"two", md5="?")
    assert _states(files, *lines) == {path_of(1): "1", path_of(2): State.CUT_OFF}


def test_what_is_no_picture_is_left_also_when_it_arrived_as_it_left() -> None:
    assert _states({path_of(1): NO_IMAGE}, line(1, NO_IMAGE)) == {path_of(1): State.NOT_AN_IMAGE}


def test_a_broken_picture_is_left_unless_it_left_filemaker_so() -> None:
    broken = {path_of(1): BROKEN}
    assert _states(broken) == {path_of(1): State.BROKEN}
    assert _states(broken, line(1, BROKEN, md5="")) == {path_of(1): State.BROKEN}
    assert _states(broken, line(1, BROKEN)) == {path_of(1): "1"}


def test_a_second_copy_of_the_same_bytes_is_the_same_again() -> None:
    again = f"{PATIENT}/2016-10-18/{image_id(1)} 1.jpg"
    assert _states({again: b"one", path_of(1): b"one"}) == {again: State.SAME_AGAIN, path_of(1): image_id(1).lower()}


def test_two_pictures_of_one_name_are_both_left_unless_the_manifest_names_one() -> None:
    again = f"{PATIENT}/2016-10-18/{image_id(1)} (1).jpg"
    files = {again: b"other", path_of(1): b"one"}
    assert _states(files) == {again: State.DOUBLED, path_of(1): State.DOUBLED}
    assert _states(files, line(1, b"one")) == {again: State.MD5_DIFFERS, path_of(1): "1"}
    assert _states(files, line(1, b"one", md5="", bytes="")) == {again: State.DOUBLED, path_of(1): "1"}


def test_a_copy_is_taken_where_its_original_was_spoiled() -> None:
    again = f"{PATIENT}/2016-10-18/{image_id(1)}_2.jpg"
    files = {again: b"one", path_of(1): b"spoiled"}
    assert _states(files, line(1, b"one")) == {again: "1", path_of(1): State.MD5_DIFFERS}


def test_names_that_differ_in_case_only_are_one_photograph() -> None:
    lower, upper = path_of(1).lower(), path_of(1).upper()
    assert _states({lower: b"one", upper: b"one"})[upper] == image_id(1).lower()
    assert _states({lower: b"one", upper: b"two"}) == {lower: State.DOUBLED, upper: State.DOUBLED}
    assert _states({lower: b"one", upper: b"two"}, line(1, b"one")) == {lower: "1", upper: State.MD5_DIFFERS}


def test_two_records_of_one_recid_are_both_left() -> None:
    """The dump has one name for them, and whoever came first would be shown as both."""
    files = {path_of(1): b"one", path_of(9): b"nine"}
    lines = line(1, b"one"), line(1, b"nine", id=image_id(9), path=path_of(9))
    assert _states(files, *lines) == {path_of(1): State.DOUBLED, path_of(9): State.DOUBLED}


def test_one_picture_of_two_patients_is_left() -> None:
    mine, theirs = path_of(1), path_of(1, OTHER)
    assert _states({mine: b"one", theirs: b"one"}) == {mine: State.CONTRADICTS, theirs: State.CONTRADICTS}


def test_records_that_share_an_image_id_are_told_apart_by_the_manifest() -> None:
    again = f"{PATIENT}/2016-10-18/{image_id(1)} 1.jpg"
    lines = line(1, b"one"), line(2, b"two", id=image_id(1), path=again)
    assert _states({path_of(1): b"one", again: b"two"}, *lines) == {path_of(1): "1", again: "2"}
    moved = f"elsewhere/{image_id(1)}.jpg"
    assert _states({moved: b"one"}, *lines) == {moved: State.DOUBLED}


def test_a_file_in_another_patients_folder_is_left() -> None:
    moved = path_of(1, OTHER)
    assert _states({moved: b"one"}, line(1, b"one")) == {moved: State.CONTRADICTS}
    # The manifest may lie in the folder itself, and name another patient than its own folder does.
    assert _states({moved: b"one"}, line(1, b"one", path=moved)) == {moved: State.CONTRADICTS}


def test_a_file_that_was_moved_elsewhere_is_known_by_its_md5() -> None:
    moved = f"{PATIENT}/{image_id(1)}.jpg"
    assert _states({moved: b"one"}, line(1, b"one")) == {moved: "1"}
    assert _states({moved: b"ONE"}, line(1, b"one")) == {moved: State.MD5_DIFFERS}


def test_a_photograph_waits_for_all_of_its_files() -> None:
    again = f"{PATIENT}/2016-10-18/{image_id(1)} 1.jpg"
    files = {path_of(1): b"one", again: b"o", path_of(2): b"two"}
    assert _states(files, known={again: State.GROWING}) == {
        path_of(1): State.GROWING,
        again: State.GROWING,
        path_of(2): image_id(2).lower(),
    }


def test_what_is_known_of_a_file_beforehand_stays() -> None:
    files = {path_of(1): b"one", ".DS_Store": b"", "manifest.tsv": b""}
    known = {path_of(1): State.NOT_A_FILE, ".DS_Store": State.NOT_A_FILE}
    assert _states(files, known=known) == {
        path_of(1): State.NOT_A_FILE,
        ".DS_Store": State.CLUTTER,
        "manifest.tsv": State.MANIFEST,
    }


def test_records_without_a_file_are_told() -> None:
    lines = line(1, b"one"), line(2, b"two"), line(3, None), line(4, b"four", error="800"), line(5, None)
    read = read_manifests([("manifest.tsv", manifest(*lines))])
    # FileMaker leaves an empty file where a container is empty.
    found = sort_out({path_of(1): None, path_of(5): None}, read)
    assert {(said.recid, state) for said, state in found.without_file} == {
        ("2", State.MISSING),
        ("3", State.EMPTY_IN_FILEMAKER),
        ("4", State.FAILED_IN_FILEMAKER),
    }
    assert _states({path_of(5): b""}, line(5, None)) == {path_of(5): State.EMPTY_IN_FILEMAKER}


_NUMBERS = st.integers(1, 4)
_FILES = st.dictionaries(
    st.one_of(
        st.builds(path_of, _NUMBERS, st.sampled_from([PATIENT, OTHER, "unlinked"])),
        st.builds(
            lambda number, mark: path_of(number).replace(".jpg", f"{mark}.JPG"), _NUMBERS, st.sampled_from(["", " 1"])
        ),
        st.builds(lambda number: f"{PATIENT}/{number}.jpg", _NUMBERS),
        st.sampled_from([".DS_Store", "foot.jpg", "a/b/c/d/e/f/1.jpg"]),
    ),
    st.sampled_from([b"one", b"two", b"three", b"", NO_IMAGE]),
)
_LINES = st.lists(st.builds(line, _NUMBERS, st.sampled_from([b"one", b"two", b"three", None])))


@given(_FILES, _LINES)
def test_every_file_has_one_state_and_nothing_is_misfiled(files: dict[str, bytes], lines: list[str]) -> None:
    """Whatever lies there: what is taken as a record that the manifest knows has one of its MD5s and its patient."""
    states = _states(files, *lines)
    read = read_manifests([("manifest.tsv", manifest(*lines))]) if lines else Manifest()
    taken = [(path, str(name)) for path, name in states.items() if not isinstance(name, State)]
    assert len({name for _, name in taken}) == len(taken)
    for path, name in taken:
        said = read.by_photo.get(f"recid {name}", ()) or read.by_photo.get(f"image {name}", ())
        md5s = {one.md5 for one in said if one.md5 is not None}
        assert not md5s or md5_of(files[path]) in md5s
        assert not said or OTHER not in path
