"""Every other link that leads to a patient: documents, batches made by hand, and tables that nobody told us of.

DOMAIN.md section 7, items 9, 10 and 17.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from fm_migration.clinic.link_columns import find_link_columns
from fm_migration.errors import DatabaseError, SettingsError
from fm_migration.ledger import schema
from fm_migration.linking import following
from fm_migration.linking.following import LinksUpdate, TableLinks
from fm_migration_tests.linking.world import ANNA, BERT, CARA, DUMP, Photograph, World, filemaker_id
from fm_migration_tests.peers.gallery import Gallery

#: A table of another app with a generic link, as Django makes one; its key is a number.
CASTS = """
create table casts_cast (
    id int generated always as identity primary key, content_type_id int not null, object_id uuid, note text not null)
"""
#: Django's GenericForeignKey over models with different keys: the id is text.
TAGS = """
create table tags_tag (
    id bigint primary key, content_type_id int not null, object_id varchar(36) not null, tag text not null)
"""
#: A name that must be quoted, in SQL and in the journal, and a pair of columns with a prefix.
QUOTED = """
create table "Legacy Notes" (
    code varchar(20) primary key, about_content_type_id int, about_object_id uuid, body text not null default '')
"""
#: No content type: only the settings can say that this is a patient.
LETTERS = """
create table letters_letter (id uuid primary key, recipient text, patient_uuid uuid not null)
"""


@pytest.fixture
def linked(world: World) -> World:
    """Anna and Bert, known to the history; nothing photographed."""
    _know(world)
    return world


@pytest.fixture
def own_linked(own_world: World) -> World:
    """The same, in a database whose tables a test may add to."""
    _know(own_world)
    return own_world


def _know(world: World) -> None:
    world.patient(ANNA)
    world.patient(BERT)
    world.photographs(Photograph("77", CARA))
    world.read_patients()


def _reimported(world: World) -> None:
    world.reimport()
    world.read_patients()


def _of(update: LinksUpdate, table: str) -> TableLinks:
    (found,) = [each for each in update.tables if each.table == table]
    return found


def _content_type(world: World, model: str = "patient") -> int:
    return int(world.one("select id from django_content_type where model = :model", model=model))


def _targets(world: World, table: str, column: str = "object_id", key: str = "id") -> list[object]:
    return [row[0] for row in world.rows(f"select {column} from {table} order by {key}")]


# --- 9: what no export knows ------------------------------------------------------------------------------------------


def test_9_documents_and_hand_made_batches_follow_their_patient(linked: World) -> None:
    former = linked.patients()
    document = linked.document(former[ANNA])
    batch = linked.batch(former[BERT], "Shoe check", ["images/upload.jpg"])
    empty = linked.batch(former[BERT], "Nothing yet")
    _reimported(linked)
    assert linked.galleries() == {}
    update = linked.follow()
    now = linked.patients()
    assert linked.one("select object_id from documents_document where id = :id", id=document) == now[ANNA]
    assert linked.gallery(BERT) == ["images/upload.jpg"]
    assert {row.id for row in linked.rows("select id from images_batch where object_id = :id", id=now[BERT])} == {
        batch,
        empty,
    }
    assert _of(update, "documents_document") == TableLinks("documents_document", "object_id", 1, 1, 1, 0, 0)
    assert _of(update, "images_batch") == TableLinks("images_batch", "object_id", 2, 2, 2, 0, 0)
    assert update.followed == 3


def test_a_second_run_finds_nothing_to_do_and_leaves_no_plan(linked: World) -> None:
    linked.document(linked.patients()[ANNA])
    _reimported(linked)
    assert linked.follow().plan is not None
    before = linked.snapshot()
    again = linked.follow()
    assert (again.plan, again.followed) == (None, 0)
    assert linked.snapshot() == before
    assert linked.one("select count(*) from fm_migration.link_plan where kind = 'links'") == 1


def test_a_link_is_followed_through_many_re_imports_at_once(linked: World) -> None:
    document = linked.document(linked.patients()[ANNA])
    for _ in range(3):
        _reimported(linked)
    linked.follow()
    assert linked.one("select object_id from documents_document where id = :id", id=document) == linked.patients()[ANNA]


def test_9_what_points_at_a_uuid_never_seen_is_counted_and_left(linked: World) -> None:
    stray = uuid.uuid4()
    linked.document(stray)
    linked.document(stray)
    linked.document(None)
    linked.batch(stray, "Whose is it?", ["images/upload.jpg"])
    before = linked.snapshot()
    update = linked.follow()
    assert _of(update, "documents_document") == TableLinks("documents_document", "object_id", 2, 2, 0, 2, 0)
    assert _of(update, "images_batch").never_seen == 1
    assert update.never_seen == 3
    assert linked.snapshot() == before


def test_a_link_to_somebody_who_was_removed_is_not_one_to_somebody_never_seen(linked: World) -> None:
    document = linked.document(linked.patients()[BERT])
    linked.do("delete from patients where id = :id", id=linked.patients()[BERT])
    linked.read_patients()
    documents = _of(linked.follow(), "documents_document")
    assert (documents.dangling, documents.absent, documents.never_seen) == (1, 1, 0)
    again = linked.patient(BERT)
    linked.read_patients()
    assert linked.follow().followed == 1
    assert linked.one("select object_id from documents_document where id = :id", id=document) == again


def test_a_uuid_whose_person_two_patients_claim_is_ambiguous_and_left(linked: World) -> None:
    former = linked.patients()[ANNA]
    linked.document(former)
    linked.patient(ANNA)
    _reimported(linked)
    before = linked.snapshot()
    documents = _of(linked.follow(), "documents_document")
    assert (documents.dangling, documents.ambiguous, documents.followed, documents.never_seen) == (1, 1, 0, 0)
    assert linked.snapshot() == before


def test_a_uuid_whose_id_comes_to_somebody_known_under_another_is_ambiguous_and_left(linked: World) -> None:
    """Registered only after Anna had gone, and under an id of her own: a correction, a merger, or a mistake."""
    linked.document(linked.patients()[ANNA])
    linked.do("delete from patients where id = :id", id=linked.patients()[ANNA])
    linked.read_patients()
    linked.do("update patients set mrn = 'M1002'")
    other = linked.patient(CARA)
    linked.read_patients()
    linked.do(
        "update patients set filemaker_metadata = replace(filemaker_metadata::text, :cara, :anna)::jsonb"
        " where id = :id",
        cara=CARA, anna=ANNA, id=other,
    )  # fmt: skip
    linked.read_patients()
    before = linked.snapshot()
    documents = _of(linked.follow(), "documents_document")
    assert (documents.dangling, documents.ambiguous, documents.followed) == (1, 1, 0)
    assert linked.snapshot() == before


def test_a_link_to_a_living_patient_is_never_touched(linked: World) -> None:
    """Also when the history knows the UUID as the former one of somebody else: a backup was restored."""
    former = linked.patients()
    linked.document(former[ANNA])
    _reimported(linked)
    linked.do("update patients set id = :former where id = :now", former=former[ANNA], now=linked.patients()[BERT])
    linked.read_patients()
    assert linked.follow().followed == 0
    assert _targets(linked, "documents_document") == [former[ANNA]]


def test_links_of_other_content_types_are_none_of_ours(linked: World) -> None:
    document = linked.document(linked.patients()[ANNA])
    of_images = _content_type(linked, "image")
    linked.do("update documents_document set content_type_id = :type where id = :id", type=of_images, id=document)
    former = linked.patients()[ANNA]
    _reimported(linked)
    assert _of(linked.follow(), "documents_document") == TableLinks("documents_document", "object_id", 0, 0, 0, 0, 0)
    assert _targets(linked, "documents_document") == [former]


def test_an_imported_batch_without_a_row_in_the_export_follows_its_patient_too(linked: World) -> None:
    linked.batch(linked.patients()[ANNA], "18 Oct 2016 (FileMaker Import)", [DUMP + "990.jpg"], by_hand=False)
    _reimported(linked)
    linked.follow()
    assert linked.gallery(ANNA) == ["990.jpg"]


def test_patients_of_a_run_that_broke_off_before_it_led_a_link_are_no_new_ones(linked: World) -> None:
    """The history knows everybody by then, so nobody looks gone; the links still wait."""
    document = linked.document(linked.patients()[ANNA])
    linked.link()
    _reimported(linked)
    assert not _notes_new_patients(linked)
    linked.link(approved=True)
    assert linked.one("select object_id from documents_document where id = :id", id=document) == linked.patients()[ANNA]
    linked.patient(filemaker_id(99))
    assert _notes_new_patients(linked)


def _notes_new_patients(world: World) -> bool:
    with world.engine.begin() as connection:
        return following.note_new_patients(connection)


def test_re_linking_needs_the_patients_to_have_been_read(world: World) -> None:
    world.patient(ANNA)
    with pytest.raises(DatabaseError, match="it was never read"):
        world.follow()


# --- undo -------------------------------------------------------------------------------------------------------------


def test_undo_of_re_linked_documents_and_batches(linked: World) -> None:
    former = linked.patients()
    linked.document(former[ANNA])
    linked.document(former[BERT], "documents/second.pdf")
    linked.batch(former[BERT], "Shoe check", ["images/upload.jpg"])
    _reimported(linked)
    before = linked.snapshot()
    update = linked.follow()
    assert update.plan is not None
    linked.do("update documents_document set object_id = :cara where s3_key like '%/second.pdf'", cara=uuid.uuid4())
    undone = linked.undo(update.plan)
    (moved,) = linked.rows("select id, object_id from documents_document where s3_key like '%/second.pdf'")
    assert (undone.restored, undone.left) == (2, (f"documents_document {moved.id}",))
    linked.do("update documents_document set object_id = :former where id = :id", former=former[BERT], id=moved.id)
    assert linked.snapshot() == before
    assert linked.undo(update.plan).restored == 0


# --- tables that nobody told us of ------------------------------------------------------------------------------------


def _insert(world: World, table: str, rows: Iterable[dict[str, object]]) -> None:
    for row in rows:
        columns, values = ", ".join(row), ", ".join(f":{column}" for column in row)
        world.do(f"insert into {table} ({columns}) values ({values})", **row)


def test_tables_with_a_generic_link_are_found_in_the_catalogue(own_linked: World) -> None:
    for table in (CASTS, TAGS, QUOTED, LETTERS):
        own_linked.do(table)
    # None of these is one: no key, a number for an id, no content type, Django's own log of what was done.
    own_linked.do("create table no_key (content_type_id int, object_id uuid)")
    own_linked.do("create table by_number (id int primary key, content_type_id int, object_id int)")
    own_linked.do("create table alone (id int primary key, object_id uuid)")
    own_linked.do("create table django_admin_log (id int primary key, content_type_id int, object_id text)")
    with own_linked.engine.connect() as connection:
        found = {(link.table, link.column, link.key, link.column_type) for link in find_link_columns(connection)}
    assert found == {
        ("contact_relationships", "from_object_id", "id", "uuid"),
        ("contact_relationships", "to_object_id", "id", "uuid"),
        ("documents_document", "object_id", "id", "uuid"),
        ("images_batch", "object_id", "id", "uuid"),
        ("casts_cast", "object_id", "id", "uuid"),
        ("tags_tag", "object_id", "id", "character varying(36)"),
        ('"Legacy Notes"', "about_object_id", "code", "uuid"),
    }


# --- two links in one row ---------------------------------------------------------------------------------------------


def test_either_link_of_a_row_follows_its_patient(linked: World) -> None:
    """The other end is somebody whom a re-import does not touch, or no patient at all."""
    former, typed_in = linked.patients(), linked.patient(None)
    document = linked.document(typed_in)
    rows = [
        linked.relationship(former[ANNA], typed_in),
        linked.relationship(typed_in, former[BERT]),
        linked.relationship(former[BERT], document, "document"),
        # Its number is that of a former patient, and it is none.
        linked.relationship(typed_in, former[ANNA], "document"),
    ]
    before = linked.snapshot()["contact_relationships"]
    _reimported(linked)
    update = linked.follow()
    now = linked.patients()
    ends = {
        row.id: (row.from_object_id, row.to_object_id) for row in linked.rows("select * from contact_relationships")
    }
    expected = [(now[ANNA], typed_in), (typed_in, now[BERT]), (now[BERT], document), (typed_in, former[ANNA])]
    assert [ends[row] for row in rows] == expected
    of_table = [each for each in update.tables if each.table == "contact_relationships"]
    assert [(each.column, each.followed) for each in of_table] == [("from_object_id", 2), ("to_object_id", 1)]
    assert linked.undo(update.plan or 0).left == ()
    assert linked.snapshot()["contact_relationships"] == before


def test_both_links_of_a_row_follow_at_once(linked: World) -> None:
    former = linked.patients()
    row = linked.relationship(former[ANNA], former[BERT])
    _reimported(linked)
    update = linked.follow()
    now = linked.patients()
    ends = "select from_object_id, to_object_id from contact_relationships where id = :id"
    assert tuple(linked.rows(ends, id=row)[0]) == (now[ANNA], now[BERT])
    linked.undo(update.plan or 0)
    assert tuple(linked.rows(ends, id=row)[0]) == (former[ANNA], former[BERT])


def test_the_app_finds_both_patients_of_a_relationship_after_a_reimport(
    django_engine: Engine, app: Gallery, tmp_path: Path
) -> None:
    """By Django's own tables and its own way of following a link; documents come back in the same healing."""
    schema.upgrade(django_engine)
    world = World(django_engine, tmp_path)
    mother, child = (app.create_patient("Test", "Person", person) for person in (ANNA, BERT))
    relationship, document = app.relate(mother, child), app.attach_document(mother, "documents/letter.pdf")
    world.photographs(Photograph("77", ANNA))
    world.link()
    world.reimport()
    assert app.related(relationship) == [None, None]
    world.link()
    now = world.patients()
    assert app.related(relationship) == [now[ANNA], now[BERT]]
    assert app.document_owner(document) == now[ANNA]


def test_a_table_with_a_number_for_a_key_is_re_linked_and_undone(own_linked: World) -> None:
    own_linked.do(CASTS)
    patient, former = _content_type(own_linked), own_linked.patients()
    stray = uuid.uuid4()
    targets = [former[ANNA], former[BERT], stray, None]
    _insert(own_linked, "casts_cast", [{"content_type_id": patient, "object_id": o, "note": "A"} for o in targets])
    _reimported(own_linked)
    update = own_linked.follow()
    now = own_linked.patients()
    assert _of(update, "casts_cast") == TableLinks("casts_cast", "object_id", 3, 3, 2, 1, 0)
    assert _targets(own_linked, "casts_cast") == [now[ANNA], now[BERT], stray, None]
    assert {row.note for row in own_linked.rows("select note from casts_cast")} == {"A"}
    assert own_linked.undo(update.plan or 0).left == ()
    assert _targets(own_linked, "casts_cast") == targets


def test_a_table_that_keeps_uuids_as_text_is_re_linked_in_any_spelling(own_linked: World) -> None:
    own_linked.do(TAGS)
    patient, former = _content_type(own_linked), own_linked.patients()
    spelled = [str(former[ANNA]), str(former[BERT]).upper(), "12345", ""]
    _insert(
        own_linked,
        "tags_tag",
        [{"id": n, "content_type_id": patient, "object_id": o, "tag": "A"} for n, o in enumerate(spelled)],
    )
    _reimported(own_linked)
    update = own_linked.follow()
    now = own_linked.patients()
    assert _targets(own_linked, "tags_tag") == [str(now[ANNA]), str(now[BERT]), "12345", ""]
    tags = _of(update, "tags_tag")
    assert (tags.links, tags.followed, tags.never_seen) == (4, 2, 2)
    own_linked.undo(update.plan or 0)
    assert _targets(own_linked, "tags_tag") == spelled


def test_a_table_whose_name_needs_quoting_is_re_linked_and_undone(own_linked: World) -> None:
    own_linked.do(QUOTED)
    patient, former = _content_type(own_linked), own_linked.patients()
    _insert(
        own_linked,
        '"Legacy Notes"',
        [{"code": "a'b", "about_content_type_id": patient, "about_object_id": former[ANNA]}],
    )
    _reimported(own_linked)
    update = own_linked.follow()
    read = ('"Legacy Notes"', "about_object_id", "code")
    assert _targets(own_linked, *read) == [own_linked.patients()[ANNA]]
    assert own_linked.undo(update.plan or 0).restored == 1
    assert _targets(own_linked, *read) == [former[ANNA]]


def test_a_column_without_a_content_type_is_re_linked_when_the_settings_name_it(own_linked: World) -> None:
    own_linked.do(LETTERS)
    former = own_linked.patients()
    _insert(own_linked, "letters_letter", [{"id": uuid.uuid4(), "patient_uuid": former[ANNA]}])
    _reimported(own_linked)
    read = ("letters_letter", "patient_uuid")
    own_linked.follow()
    assert _targets(own_linked, *read) == [former[ANNA]]
    update = own_linked.follow("letters_letter.patient_uuid")
    assert _of(update, "letters_letter") == TableLinks("letters_letter", "patient_uuid", 1, 1, 1, 0, 0)
    assert _targets(own_linked, *read) == [own_linked.patients()[ANNA]]
    assert own_linked.undo(update.plan or 0).restored == 1
    assert _targets(own_linked, *read) == [former[ANNA]]


def test_a_named_column_may_lie_in_another_schema(own_linked: World) -> None:
    own_linked.do("create schema billing")
    own_linked.do("create table billing.claim (number int primary key, patient uuid)")
    _insert(own_linked, "billing.claim", [{"number": 1, "patient": own_linked.patients()[ANNA]}])
    _reimported(own_linked)
    assert own_linked.follow("billing.claim.patient").followed == 1
    assert _targets(own_linked, "billing.claim", "patient", "number") == [own_linked.patients()[ANNA]]


@pytest.mark.parametrize("named", ["letters.patient", "patients.nobody", "patients", "casts", "no.such.table.column"])
def test_a_named_column_that_is_not_there_is_an_error_that_names_it(linked: World, named: str) -> None:
    with pytest.raises(SettingsError, match="FM_LINK_COLUMNS") as caught:
        linked.follow(named)
    assert named in str(caught.value)


def test_the_journal_says_why_a_link_was_changed(linked: World) -> None:
    former = linked.patients()[ANNA]
    document = linked.document(former)
    _reimported(linked)
    plan = linked.follow().plan
    (entry,) = linked.journal(plan or 0)
    assert (entry.kind, entry.table_name, entry.row_id, entry.outcome) == (
        "links",
        "documents_document",
        str(document),
        "applied",
    )
    assert (entry.before, entry.after) == (
        {"object_id": str(former)},
        {"object_id": str(linked.patients()[ANNA])},
    )
