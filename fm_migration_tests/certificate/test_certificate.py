"""Certificates: complete, checkable by anybody, and broken by the change of any byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fm_migration.certificate import issuing
from fm_migration.certificate.issuing import Certificate, CertificateError, CertifiedWaiver, certify, check_file
from fm_migration.certificate.merkle import MerkleTree
from fm_migration.certificate.verifying import Compared, Deviation, differences
from fm_migration.embedded.sample.reimport import play_reimport
from fm_migration.errors import FmMigrationError
from fm_migration.objects.hashing import THREADS, Wanted, hash_object, hash_objects
from fm_migration.operations import staging
from fm_migration.places import Places
from fm_migration_tests.thumbnails.conftest import Photographed

GUIDE = Path(__file__).parents[2] / "docs" / "explain.md"


@pytest.fixture
def clinic(photographed: Callable[..., Photographed]) -> Photographed:
    return photographed("fresh")


def _certified(clinic: Photographed, folder: Path, *, read_all: bool = True, **options: Any) -> Certificate:
    store = clinic.store if read_all else None
    return certify(clinic.places.engine, clinic.places.settings, folder / "proof.jsonl", store, **options)


def _differences(clinic: Photographed, made: Certificate, *, read_all: bool = False) -> list[str]:
    return [str(difference) for difference in _compare(clinic, made, Compared(), read_all=read_all)]


def _compare(clinic: Photographed, made: Certificate, compared: Compared, *, read_all: bool = False) -> list[Deviation]:
    places = clinic.places
    return list(
        differences(check_file(made.path), places.engine, places.settings, clinic.store, compared, read_all=read_all)
    )


def _lines(made: Certificate) -> list[dict[str, Any]]:
    return [json.loads(line) for line in made.path.read_bytes().splitlines()]


def _originals(made: Certificate) -> list[dict[str, Any]]:
    return [line for line in _lines(made) if line["kind"] == "original"]


def _shown_key(clinic: Photographed) -> str:
    """The first original that a gallery shows."""
    return min(clinic.objects())


# --- making ------------------------------------------------------------------------------------------------------


def test_read_whole_it_holds_bytes_and_hash_of_every_original(clinic: Photographed, tmp_path: Path) -> None:
    made = _certified(clinic, tmp_path)
    originals = {line["key"]: line for line in _originals(made)}
    truth = {facts["key"]: facts for facts in clinic.truth["objects"] if facts["class"] == "original"}
    assert originals.keys() == truth.keys()
    for key, line in originals.items():
        body = clinic.body(key)
        assert (line["bytes"], line["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
        assert line["unread"] is None
    assert (made.complete, made.read, made.originals) == (True, len(truth), len(truth))
    assert made.bytes == made.bytes_read == sum(facts["bytes"] for facts in truth.values())
    assert dict(made.unread) == {}


def test_the_rows_are_the_sum_of_their_states(clinic: Photographed, tmp_path: Path) -> None:
    rows = _certified(clinic, tmp_path, read_all=False).head["rows"]
    assert rows["read"] == sum(rows["states"].values()) == len(clinic.truth["rows"])
    assert rows["states"] == clinic.truth["states"]


def test_each_original_names_the_image_that_shows_it(clinic: Photographed, tmp_path: Path) -> None:
    lines = _originals(_certified(clinic, tmp_path, read_all=False))
    assert {line["key"]: line["image"] for line in lines if line["image"]} == {
        key: str(row.id) for key, row in clinic.shown().items()
    }


def test_without_reading_it_says_how_many_have_no_hash(
    photographed: Callable[..., Photographed], tmp_path: Path
) -> None:
    clinic = photographed("fresh", 12)
    clinic.make()
    made = _certified(clinic, tmp_path, read_all=False)
    hashed = {line["key"]: line["sha256"] for line in _originals(made) if line["sha256"]}
    assert hashed == {row.source_key: row.original_sha256 for row in clinic.states().values() if row.original_sha256}
    assert made.read == len(hashed) == 12
    assert dict(made.unread) == {"never": made.originals - 12}
    assert not made.complete


def test_a_hash_of_an_earlier_version_is_none_of_the_present_one(
    photographed: Callable[..., Photographed], tmp_path: Path
) -> None:
    clinic = photographed("fresh", 12)
    clinic.make()
    key = min(clinic.states())
    clinic.bucket.put(key, b"another picture")
    clinic.list_again()
    (line,) = (line for line in _originals(_certified(clinic, tmp_path, read_all=False)) if line["key"] == key)
    assert (line["sha256"], line["unread"], line["bytes"]) == (None, "never", 15)


def test_what_vanishes_or_changes_while_it_reads_has_no_hash_and_a_reason(clinic: Photographed, tmp_path: Path) -> None:
    gone, changed = sorted(clinic.objects())[:2]
    clinic.bucket.client.delete_object(Bucket=clinic.bucket.name, Key=gone)
    clinic.bucket.put(changed, b"another picture")
    made = _certified(clinic, tmp_path)
    why = {line["key"]: line["unread"] for line in _originals(made) if line["unread"]}
    assert why == {gone: "gone", changed: "changed"}
    assert dict(made.unread) == {"changed": 1, "gone": 1}


def test_waivers_are_in_it_and_versions_too(clinic: Photographed, tmp_path: Path) -> None:
    waiver = CertifiedWaiver("row_without_object", "recid 77", "lost in a fire", "2025-11-18")
    made = _certified(clinic, tmp_path, read_all=False, waivers=[waiver])
    assert made.waivers == 1
    assert _lines(made)[1] == {
        "kind": "waiver",
        "class": "row_without_object",
        "subject": "recid 77",
        "reason": "lost in a fire",
        "date": "2025-11-18",
    }
    head = made.head
    assert head["versions"].keys() == {"fm_migration", "schema"}
    assert head["export"]["sha256"] == hashlib.sha256(clinic.sample.export.read_bytes()).hexdigest()
    assert (head["plan"]["applied_at"], head["listing"]["bucket"]) != (None, None)


def test_no_patient_is_in_it(clinic: Photographed, tmp_path: Path) -> None:
    content = _certified(clinic, tmp_path, read_all=False).path.read_text()
    names = clinic.rows("select first_name, last_name, mrn from patients")
    assert names
    assert not [row for row in names if any(name and f'"{name}"' in content for name in row)]
    assert not [row for row in names if row.last_name in content]


def test_it_is_never_written_over_and_half_a_one_is_never_left(clinic: Photographed, tmp_path: Path) -> None:
    made = _certified(clinic, tmp_path, read_all=False)
    content = made.path.read_bytes()
    with pytest.raises(CertificateError, match="there is such a file"):
        _certified(clinic, tmp_path, read_all=False)
    assert made.path.read_bytes() == content

    def break_off(_what: str, done: int, _total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    other = tmp_path / "other"
    with pytest.raises(KeyboardInterrupt):
        _certified(clinic, other, on_progress=break_off)
    assert list(other.iterdir()) == []


def test_a_plan_of_an_older_export_certifies_nothing(clinic: Photographed, tmp_path: Path) -> None:
    lines = clinic.sample.export.read_bytes().splitlines(keepends=True)
    shorter = tmp_path / "shorter.csv"
    shorter.write_bytes(b"".join(lines[:-1]))
    places = Places(
        clinic.places.settings, clinic.places.database_url, clinic.places.objects, str(shorter), embedded=False
    )
    with clinic.places.engine.begin() as connection:
        staging.stage_export(connection, places)
    with pytest.raises(CertificateError, match="Materialize link_plan"):
        _certified(clinic, tmp_path, read_all=False)


# --- the file by itself ------------------------------------------------------------------------------------------


def _split_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it stands there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + _split_root(leaves[:split]) + _split_root(leaves[split:])).digest()


@given(st.lists(st.binary(max_size=4), max_size=70))
def test_the_root_is_that_of_rfc_6962(leaves: list[bytes]) -> None:
    tree = MerkleTree()
    for leaf in leaves:
        tree.add(leaf)
    assert (tree.root(), tree.leaves) == (_split_root(leaves), len(leaves))


def test_a_node_cannot_pass_for_a_leaf() -> None:
    pair, forged = MerkleTree(), MerkleTree()
    for leaf in (b"one", b"two"):
        pair.add(leaf)
    forged.add(b"".join(hashlib.sha256(b"\x00" + leaf).digest() for leaf in (b"one", b"two")))
    assert pair.root() != forged.root()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file of every kind of line."""
    path = tmp_path_factory.mktemp("certificate") / "small.jsonl"
    originals = [
        {"key": f"dump/{n}.jpg", "bytes": 10 * n, "etag": f"e{n}", "sha256": "ab" * 32 if n % 2 else None,
         "unread": None, "recid": str(n), "state": "linked", "image": None}
        for n in range(1, 8)
    ]  # fmt: skip
    head = {"kind": "head", "format": issuing.FORMAT, "made_at": "2025-11-18T09:00:00+00:00", "rows": {}}
    with path.open("wb") as file:
        issuing._write(file, head, [CertifiedWaiver("undated", "recid 1", "known")], originals)
    return path


def test_an_untouched_file_is_as_it_was_written(written: Path) -> None:
    read = check_file(written)
    assert (read.originals, read.read, read.waivers, read.bytes) == (7, 4, 1, 280)
    assert read.sha256 == hashlib.sha256(written.read_bytes()).hexdigest()


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
def test_the_change_of_any_byte_shows(written: Path, data: st.DataObject) -> None:
    content = written.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.binary(min_size=1, max_size=1).filter(lambda byte: byte != content[at : at + 1]))
    altered = data.draw(
        st.sampled_from(
            [
                content[:at] + byte + content[at + 1 :],
                content[:at] + content[at + 1 :],
                content[:at] + byte + content[at:],
                content[:at],
                content + byte,
            ]
        )
    )
    path = written.with_name("altered.jsonl")
    path.write_bytes(altered)
    with pytest.raises(CertificateError):
        check_file(path)


@given(st.randoms(use_true_random=False), st.sampled_from(["swap", "drop", "double"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_lines_that_are_swapped_dropped_or_doubled_show(written: Path, random: Any, how: str) -> None:
    lines = written.read_bytes().splitlines(keepends=True)
    one, other = random.sample(range(len(lines)), 2)
    if how == "swap":
        lines[one], lines[other] = lines[other], lines[one]
    elif how == "drop":
        del lines[one]
    else:
        lines.insert(one, lines[one])
    path = written.with_name("altered.jsonl")
    path.write_bytes(b"".join(lines))
    with pytest.raises(CertificateError):
        check_file(path)


def test_figures_that_are_changed_with_their_hashes_show_by_the_hash_of_the_file(written: Path) -> None:
    """Who writes the whole file anew can seal it: that is what the hash kept elsewhere is for."""
    lines = written.read_bytes().splitlines()
    head, *middle = [json.loads(line) for line in lines[:-1]]
    forged = written.with_name("forged.jsonl")
    with forged.open("wb") as file:
        issuing._write(file, {**head, "rows": {"read": 9}}, [], [m for m in middle if m["kind"] == "original"])
    assert check_file(forged).sha256 != check_file(written).sha256


def test_what_is_no_certificate_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    for content in (
        b"",
        b"\n",
        b"{}\n",
        b"[1]\n{}\n",
        b"\x00" * 100,
        b'{"kind":"head"}\n{}\n',
        b"[" * 100_000 + b"\n\n",
    ):
        path.write_bytes(content)
        with pytest.raises(CertificateError):
            check_file(path)
    with pytest.raises(CertificateError, match="cannot be opened"):
        check_file(tmp_path / "none.jsonl")


def test_the_ten_lines_of_the_guide_check_a_file(clinic: Photographed, tmp_path: Path) -> None:
    made = _certified(clinic, tmp_path)
    (code,) = (
        part.split("```")[0]
        for part in GUIDE.read_text(encoding="utf-8").split("```python\n")[1:]
        if "merkle_root" in part
    )
    exec(compile(code.replace("certificate.jsonl", str(made.path)), "guide", "exec"), {})
    made.path.write_bytes(made.path.read_bytes().replace(b'"linked"', b'"Linked"', 1))
    with pytest.raises(AssertionError):
        exec(compile(code.replace("certificate.jsonl", str(made.path)), "guide", "exec"), {})


# --- against the bucket and the database -------------------------------------------------------------------------


def test_nothing_differs_right_after(clinic: Photographed, tmp_path: Path) -> None:
    made, compared = _certified(clinic, tmp_path), Compared()
    assert _compare(clinic, made, compared, read_all=True) == []
    assert (compared.originals, compared.images) == (made.originals, len(clinic.shown()))
    assert (compared.read_again, compared.new_objects, compared.left_out) == (made.originals, 0, ())


def test_an_object_that_vanished_is_named(clinic: Photographed, tmp_path: Path) -> None:
    made, key = _certified(clinic, tmp_path, read_all=False), _shown_key(clinic)
    clinic.bucket.client.delete_object(Bucket=clinic.bucket.name, Key=key)
    assert _differences(clinic, made) == [f"object {key} is not in the bucket any more"]


def test_an_object_that_was_replaced_is_named(clinic: Photographed, tmp_path: Path) -> None:
    made, key = _certified(clinic, tmp_path), _shown_key(clinic)
    size = len(clinic.body(key))
    clinic.bucket.put(key, b"another picture")
    said = f"object {key} is another one under the same key"
    assert _differences(clinic, made) == [f"{said}: it had {size:,} bytes and has 15"]
    clinic.bucket.put(key, b"x" * size)
    assert _differences(clinic, made) == [said]
    assert _differences(clinic, made, read_all=True) == [f"object {key} has other bytes than were certified"]


def test_the_same_bytes_under_another_etag_are_no_difference_once_they_are_read(
    clinic: Photographed, tmp_path: Path
) -> None:
    made, key = _certified(clinic, tmp_path), _shown_key(clinic)
    body, client = clinic.body(key), clinic.bucket.client
    upload = client.create_multipart_upload(Bucket=clinic.bucket.name, Key=key)["UploadId"]
    target = {"Bucket": clinic.bucket.name, "Key": key, "UploadId": upload}
    etag = client.upload_part(**target, PartNumber=1, Body=body)["ETag"]
    client.complete_multipart_upload(**target, MultipartUpload={"Parts": [{"ETag": etag, "PartNumber": 1}]})
    assert "-" in clinic.store.head(key).etag
    assert _differences(clinic, made) == [f"object {key} is another one under the same key"]
    assert _differences(clinic, made, read_all=True) == []


def test_a_new_object_is_counted_and_no_difference(clinic: Photographed, tmp_path: Path) -> None:
    made, compared = _certified(clinic, tmp_path, read_all=False), Compared()
    clinic.bucket.put("filemaker-import/images-bulk-dump/999999.jpg")
    assert _compare(clinic, made, compared) == []
    assert compared.new_objects == 1


def test_images_that_a_reimport_hides_are_named_until_the_links_are_healed(
    clinic: Photographed, tmp_path: Path
) -> None:
    made = _certified(clinic, tmp_path, read_all=False)
    with psycopg.connect(clinic.places.database_url) as connection:
        list(play_reimport(connection, seed=1))
    assert sorted(_differences(clinic, made)) == sorted(
        f"image {row.id} hangs on a batch whose patient does not exist" for row in clinic.shown().values()
    )
    with clinic.places.engine.begin() as connection:
        staging.stage_patients(connection)
    clinic.link()
    assert _differences(clinic, made) == []


def test_images_that_were_deleted_or_repointed_are_named(clinic: Photographed, tmp_path: Path) -> None:
    made = _certified(clinic, tmp_path, read_all=False)
    deleted, repointed = (clinic.shown()[key].id for key in sorted(clinic.objects())[:2])
    clinic.execute("delete from images_image where id = :id", id=deleted)
    clinic.execute("update images_image set s3_key = 'elsewhere.jpg' where id = :id", id=repointed)
    assert _differences(clinic, made) == [
        f"image {deleted} is no longer in the app",
        f"image {repointed} shows another object",
    ]


def test_another_state_of_the_rows_is_named_and_another_export_is_not_compared(
    clinic: Photographed, tmp_path: Path
) -> None:
    made, compared = _certified(clinic, tmp_path, read_all=False), Compared()
    linked = clinic.truth["states"]["linked"]
    clinic.link(limit=linked - 2)
    assert _differences(clinic, made) == [
        "state beyond_limit had 0 rows and has 2",
        f"state linked had {linked:,} rows and has {linked - 2:,}",
    ]
    with clinic.places.engine.begin() as connection:
        staging.stage_export(connection, clinic.places)
    assert _compare(clinic, made, compared) == []
    assert compared.left_out == ("the rows: another export was read since",)


# --- reading -----------------------------------------------------------------------------------------------------


def test_hashes_come_in_order_and_large_objects_in_pieces(clinic: Photographed) -> None:
    large = b"0123456789abcdef" * (1 << 17)
    bodies = {f"{n}.bin": large if n == 2 else b"x" * n for n in range(40)}
    for key, body in bodies.items():
        clinic.bucket.put(key, body)
    found = list(hash_objects(clinic.store, (Wanted(key, None) for key in bodies), threads=THREADS))
    assert [(one.key, one.bytes, one.sha256, one.trouble) for one in found] == [
        (key, len(body), hashlib.sha256(body).hexdigest(), "") for key, body in bodies.items()
    ]


def test_a_store_that_is_away_stops_the_reading_and_blames_no_object(
    clinic: Photographed, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AwayError(FmMigrationError):
        transient = False

    def stream(*_args: object, **_options: object) -> None:
        raise AwayError("reading", "the bucket", "nobody answers", "Run again")

    monkeypatch.setattr(type(clinic.store), "stream", stream)
    with pytest.raises(AwayError):
        hash_object(clinic.store, Wanted("1.jpg", None))
    with pytest.raises(AwayError):
        list(hash_objects(clinic.store, [Wanted("1.jpg", None)]))
