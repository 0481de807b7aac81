"""`explain`, `certify` and `verify` at the terminal: first line, exit codes, and names only before a person's eyes."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from fm_migration.cli import app
from fm_migration.embedded.sample.reimport import play_reimport
from fm_migration_tests.thumbnails.conftest import Photographed

PROGRAM = Path(sys.executable).parent / "fm-migration"


@pytest.fixture
def clinic(photographed: Callable[..., Photographed]) -> Photographed:
    return photographed("fresh")


def _patient(clinic: Photographed) -> str:
    """Somebody whose gallery shows photographs of the export."""
    query = """
        select patient_id::text as id from fm_migration.photo_status where state = 'linked'
        group by 1 order by count(*) desc, 1 limit 1
    """
    return str(clinic.rows(query)[0].id)


def _recid(clinic: Photographed, state: str) -> str:
    query = "select recid from fm_migration.photo_status where state = :state order by row_number limit 1"
    return str(clinic.rows(query, state=state)[0].recid)


def _reimport(clinic: Photographed) -> None:
    with psycopg.connect(clinic.places.database_url) as connection:
        list(play_reimport(connection, seed=1))


def _at_a_terminal(*words: str) -> tuple[int, str]:
    """What a person sees who types this."""
    master, slave = pty.openpty()
    process = subprocess.Popen([PROGRAM, *words], stdout=slave, stderr=slave, stdin=slave, env=os.environ)
    os.close(slave)
    seen = b""
    while True:
        try:
            piece = os.read(master, 65_536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not piece:
            break
        seen += piece
    os.close(master)
    return process.wait(), seen.decode()


def test_the_first_line_answers_why_a_patient_shows_nothing(clinic: Photographed) -> None:
    run, patient = CliRunner(), _patient(clinic)
    assert "shows all" in run.invoke(app, ["explain", patient]).stdout.splitlines()[0]
    _reimport(clinic)
    asked = run.invoke(app, ["explain", patient])
    first, second = asked.stdout.splitlines()[:2]
    assert asked.exit_code == 1
    assert "who shows 0 images: their batches still point at a former UUID of this patient" in first
    assert second.startswith("Photographs: ")
    assert "$ fm-migration heal" in asked.stdout
    assert len(asked.stdout.splitlines()) < 20


def test_a_photograph_is_walked_hop_by_hop(clinic: Photographed) -> None:
    asked = CliRunner().invoke(app, ["explain", "recid", _recid(clinic, "no_object")])
    assert asked.exit_code == 1
    assert [f"{n} {hop}" in asked.stdout for n, hop in enumerate(
        ("row", "object", "patient", "batch", "image", "thumbnail"), start=1)] == [True] * 6  # fmt: skip
    (line,) = (line for line in asked.stdout.splitlines() if "first broken hop" in line)
    assert line.split()[:3] == ["✗", "2", "object"]
    assert "error row_without_object: " in asked.stdout
    assert "then $ dg launch --job import_photographs" in asked.stdout


def test_what_is_well_exits_0_and_what_nobody_knows_2(clinic: Photographed) -> None:
    run = CliRunner()
    hand = clinic.rows("select id from images_image where uploaded_by_id is not null order by id limit 1")[0].id
    assert run.invoke(app, ["explain", str(hand)]).exit_code == 0
    unknown = run.invoke(app, ["explain", "999999"])
    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert "no patient, batch, image, row of the export or object of that name is known" in unknown.stderr
    told = run.invoke(app, ["explain", "--json", "999999"])
    assert told.exit_code == 2
    assert json.loads(told.stdout) == {
        "asked": "999999",
        "could_be": [],
        "error": "no patient, batch, image, row of the export or object of that name is known, present or former",
    }


def test_an_ambiguous_uuid_exits_2_and_says_what_it_could_be(clinic: Photographed) -> None:
    patient = _patient(clinic)
    clinic.execute(
        "update patients set filemaker_metadata = jsonb_build_object('filemaker_id', cast(:id as text)) "
        "where id = (select max(id::text)::uuid from patients where id::text <> :id)",
        id=patient,
    )
    run = CliRunner()
    asked = run.invoke(app, ["explain", patient])
    assert asked.exit_code == 2
    assert f"it could be patient {patient}, or contact {patient}. Say which:" in asked.stderr
    told = json.loads(run.invoke(app, ["explain", "--json", patient.upper()]).stdout)
    assert told["could_be"] == [f"patient {patient}", f"contact {patient}"]
    assert run.invoke(app, ["explain", "patient", patient]).exit_code in (0, 1)


def test_json_is_for_programs(clinic: Photographed) -> None:
    asked = CliRunner().invoke(app, ["explain", "--json", "--no-bucket", _recid(clinic, "ambiguous_patient")])
    answer = json.loads(asked.stdout)
    assert asked.exit_code == 1
    assert (answer["kind"], answer["broken"], answer["first_broken_hop"]) == ("recid", True, "patient")


def test_names_are_shown_to_a_person_at_a_terminal_only(clinic: Photographed) -> None:
    patient = _patient(clinic)
    clinic.execute("update patients set first_name = 'Canary', last_name = 'Bird' where id = :id", id=patient)
    code, seen = _at_a_terminal("explain", "--show-names", patient)
    assert "The patient is Canary Bird." in seen
    assert code == 1  # its thumbnails are not made yet
    assert "Canary" not in _at_a_terminal("explain", patient)[1]
    for words in (["--show-names"], ["--show-names", "--json"]):
        piped = subprocess.run([PROGRAM, "explain", *words, patient], capture_output=True, text=True, check=False)
        assert (piped.returncode, piped.stdout) == (2, "")
        assert "names" in piped.stderr
        assert "Canary" not in piped.stderr
    code, seen = _at_a_terminal("explain", "--show-names", "--json", patient)
    assert code == 2
    assert "Canary" not in seen


def test_a_certificate_is_written_verified_and_found_to_differ(clinic: Photographed, tmp_path: Path) -> None:
    run, path = CliRunner(), tmp_path / "proof.jsonl"
    written = run.invoke(app, ["certify", "--read-all", "--output", str(path)])
    assert written.exit_code == 0, written.stderr
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    originals = sum(facts["class"] == "original" for facts in clinic.truth["objects"])
    assert f"SHA-256 of the file: {sha256}" in written.stdout
    assert f"SHA-256 of {originals:,} of them" in written.stdout
    assert "without SHA-256" not in written.stdout
    well = run.invoke(app, ["verify", str(path), "--read-all", "--sha256", sha256.upper()])
    assert well.exit_code == 0, well.stdout
    assert well.stdout.splitlines()[-1] == "No difference."
    key = min(clinic.objects())
    clinic.bucket.client.delete_object(Bucket=clinic.bucket.name, Key=key)
    differs = run.invoke(app, ["verify", str(path)])
    assert differs.exit_code == 1
    assert f"object {key} is not in the bucket any more" in differs.stdout.splitlines()
    assert run.invoke(app, ["verify", str(path), "--file-only"]).exit_code == 0
    assert run.invoke(app, ["verify", str(path), "--file-only", "--sha256", "0" * 64]).exit_code == 1


def test_without_reading_it_says_what_has_no_hash(clinic: Photographed, tmp_path: Path) -> None:
    written = CliRunner().invoke(app, ["certify"])
    originals = sum(facts["class"] == "original" for facts in clinic.truth["objects"])
    assert f"without SHA-256: {originals:,}, because nobody has read them yet" in written.stdout
    (made,) = (clinic.places.settings.home / "certificates").iterdir()
    assert f"written {made}" in written.stdout


def test_an_altered_file_is_refused_in_one_sentence(clinic: Photographed, tmp_path: Path) -> None:
    path = tmp_path / "proof.jsonl"
    CliRunner().invoke(app, ["certify", "--output", str(path)])
    path.write_bytes(path.read_bytes().replace(b'"linked"', b'"Linked"', 1))
    refused = subprocess.run([PROGRAM, "verify", path], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "it is not as it was written" in refused.stderr
    assert "Traceback" not in refused.stderr
    missing = subprocess.run([PROGRAM, "verify", tmp_path / "none"], capture_output=True, text=True, check=False)
    assert missing.returncode == 1
    assert "cannot be opened" in missing.stderr
    with_hash = [str(PROGRAM), "verify", str(tmp_path / "none"), "--sha256", "0" * 64]
    missing = subprocess.run(with_hash, capture_output=True, text=True, check=False)
    assert (missing.returncode, "Traceback" in missing.stderr) == (1, False)
