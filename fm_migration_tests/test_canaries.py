"""The search for canaries finds what was planted, wherever and however: else the test of patients' data proves nothing.

No `from __future__ import annotations` here: Dagster reads the type of an op's context from the function.
"""

import base64
import gzip
import html
import json
import sqlite3
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import dagster as dg
import pytest

from fm_migration_tests.canaries import (
    BORN,
    CAPTION,
    DATES,
    FILE_NAME,
    LAST_NAME,
    MIDDLE_NAME,
    NOTE,
    WORDS,
    Sighting,
    in_bytes,
    in_folder,
    in_objects,
)
from fm_migration_tests.conftest import Bucket

SENTENCE = f'The patient "{MIDDLE_NAME} {LAST_NAME}", born in winter'
COMPRESSED = zlib.compress(SENTENCE.encode())

WRAPPINGS: dict[str, Callable[[str], bytes]] = {
    "as it is": str.encode,
    "in upper case": lambda text: text.upper().encode(),
    "in lower case": lambda text: text.lower().encode(),
    "in Windows' letters": lambda text: text.encode("cp1252"),
    "in UTF-16": lambda text: text.encode("utf-16"),
    "as JSON": lambda text: json.dumps(text).encode(),
    "as JSON in JSON": lambda text: json.dumps(json.dumps(text)).encode(),
    "all of it as JSON's escapes": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text).encode(),
    "as Python writes bytes": lambda text: repr(text.encode("utf-8")).encode(),
    "percent-encoded": lambda text: quote(text).encode(),
    "percent-encoded as a form": lambda text: quote_plus(text).encode(),
    "percent-encoded letter by letter": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()).encode(),
    "as HTML": lambda text: html.escape(text).encode(),
    "in base64": lambda text: base64.b64encode(text.encode()),
    "in base64, one letter on": lambda text: base64.b64encode(b"x" + text.encode()),
    "in base64, two letters on": lambda text: base64.b64encode(b"xy" + text.encode()),
    "in base64 within a path": lambda text: b"/tmp/" + base64.b64encode(text.encode()) + b"/x",
    "in base64 for addresses": lambda text: base64.urlsafe_b64encode(text.encode()).rstrip(b"="),
    "in base64 in base64": lambda text: base64.b64encode(base64.b64encode(text.encode())),
    "in upper case in base64": lambda text: base64.b64encode(text.upper().encode()),
    "in hexadecimal": lambda text: text.encode().hex().encode(),
    "in hexadecimal as PostgreSQL writes it": lambda text: b"\\x" + text.encode().hex().encode(),
    "compressed": lambda text: zlib.compress(text.encode()),
    "compressed by gzip": lambda text: gzip.compress(text.encode()),
    "compressed in base64": lambda text: base64.b64encode(zlib.compress(text.encode())),
    "compressed in base64 in JSON": lambda text: b"[\"" + base64.b64encode(zlib.compress(text.encode())) + b"\"]",
}  # fmt: skip


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)
def test_it_is_found_however_it_is_wrapped(wrap: Callable[[str], bytes]) -> None:
    around = b"\x01 a header: ", b"\n and more\xff"
    blob = wrap(SENTENCE)
    # A compressed text is a cell or a file of its own; the others may stand amid anything.
    surrounded = blob if blob[:2] in (b"\x78\x9c", b"\x1f\x8b", b"\xff\xfe") else around[0] + blob + around[1]
    assert LAST_NAME.lower() in {sighting.word for sighting in in_bytes("here", surrounded)}


@pytest.mark.parametrize("word", WORDS)
def test_every_word_is_looked_for(word: str) -> None:
    assert {sighting.word for sighting in in_bytes("here", f"<{word}>".encode())} == {word.lower()}
    assert in_bytes("here", base64.b64encode(f"<{word}>".encode()))


def test_a_birth_date_is_found_in_every_spelling() -> None:
    spellings = {BORN.isoformat(), f"{BORN:%d/%m/%Y}", f"{BORN:%d %B %Y}", f"{BORN:%B %d, %Y}", repr(BORN)}
    for spelling in {*spellings, *DATES}:
        assert in_bytes("here", spelling.encode()), spelling


def test_what_is_no_canary_is_not_found() -> None:
    innocent = json.dumps({"rows": 1904, "born": "1904-03-01", "name": "Quagga", "batch": "18 Oct 2016"}).encode()
    assert not in_bytes("here", innocent + base64.b64encode(innocent) + zlib.compress(innocent))


def test_long_values_are_found_in_the_cells_of_a_database(tmp_path: Path) -> None:
    """A value that fills several pages is cut to pieces in the file."""
    with sqlite3.connect(tmp_path / "some.db") as database:
        database.execute("create table tick (body text, blob blob)")
        database.execute("insert into tick values (?, ?)", ("-" * 3000 + LAST_NAME * 3, COMPRESSED))
    places = {sighting.where for sighting in in_folder(tmp_path)}
    assert "some.db, table tick" in places


def test_names_of_files_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / f"{LAST_NAME}.txt").touch()
    assert in_folder(tmp_path)


def test_objects_are_looked_at_by_key_metadata_and_content(bucket: Bucket) -> None:
    bucket.put(f"own/{LAST_NAME}.jpg")
    bucket.put("own/a", f"a file of {LAST_NAME}".encode())
    bucket.client.put_object(Bucket=bucket.name, Key="own/b", Body=b"", Metadata={"patient": LAST_NAME})
    bucket.put("theirs/c", LAST_NAME.encode())
    places = {sighting.where for sighting in in_objects(bucket.client, bucket.name, ["own/"])}
    assert places == {f"key own/{LAST_NAME}.jpg", "own/a", "metadata of own/b"}


# --- A careless Dagster project, in which every place leaks ---------------------------------------------------------


@dg.op(config_schema={"patient": str})
def _careless(context: dg.OpExecutionContext) -> None:
    way = context.op_config["patient"]
    if way == "raise":
        raise ValueError(SENTENCE)
    if way == "fail":
        raise dg.Failure(SENTENCE)
    if way == "print":
        sys.stdout.write(SENTENCE)
    if way == "log":
        context.log.info(SENTENCE)
    if way == "metadata":
        context.add_output_metadata({"row": base64.b64encode(SENTENCE.encode()).decode()})
    if way == "observe":
        context.log_event(dg.AssetObservation("patients", tags={"name": quote(LAST_NAME)}))


@dg.job
def _leaky() -> None:
    _careless()


@pytest.fixture(scope="module")
def careless(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[Sighting], dict[str, str]]:
    """What is found after every kind of leak, and the run of each."""
    home = tmp_path_factory.mktemp("careless")
    runs = {}
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        for way in ("raise", "fail", "print", "log", "metadata", "observe", "nothing"):
            config = {"ops": {"_careless": {"config": {"patient": way}}}}
            runs[way] = _leaky.execute_in_process(instance=instance, run_config=config, raise_on_error=False).run_id
        named = {"ops": {"_careless": {"config": {"patient": CAPTION}}}}
        _leaky.execute_in_process(instance=instance, run_config=named, tags={"patient": FILE_NAME})
        instance.add_dynamic_partitions("patient", [NOTE])
    return in_folder(home), runs


@pytest.mark.parametrize("way", ["raise", "fail", "log", "metadata", "observe"])
def test_a_leak_into_the_event_log_is_found(way: str, careless: tuple[set[Sighting], dict[str, str]]) -> None:
    found, runs = careless
    wanted = {f"history/runs/{runs[way]}.db", f"history/runs/{runs[way]}.db, table event_logs"}
    assert wanted <= {sighting.where for sighting in found if sighting.word == LAST_NAME.lower()}


def test_a_run_that_leaks_nothing_is_not_accused(careless: tuple[set[Sighting], dict[str, str]]) -> None:
    found, runs = careless
    assert not [sighting for sighting in found if runs["nothing"] in sighting.where]


def test_leaks_into_run_storage_and_compute_logs_are_found(careless: tuple[set[Sighting], dict[str, str]]) -> None:
    found, runs = careless
    places = {(sighting.word, sighting.where) for sighting in found}
    assert (CAPTION.lower(), "history/runs.db, table runs") in places, "the config of a run"
    assert (FILE_NAME.lower(), "history/runs.db, table run_tags") in places
    assert (NOTE.lower(), "history/runs/index.db, table dynamic_partitions") in places
    printed = {where for word, where in places if word == LAST_NAME.lower() and where.endswith(".out")}
    assert len(printed) == 1
    assert runs["print"] in printed.pop()
