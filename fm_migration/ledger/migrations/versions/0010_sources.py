"""What each reading took from each source of rows."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"

SOURCES = """
create table fm_migration.export_read_source (
    export_read_id  bigint not null references fm_migration.export_read,
    source          text not null,
    origin          text not null,
    sha256          text not null,
    bytes           bigint not null,
    rows_present    bigint not null,
    rows_read       bigint not null,
    rows_refused    bigint not null,
    rows_set_aside  bigint not null,
    rows_differing  bigint not null,
    primary key (export_read_id, source),
    check (rows_present = rows_read + rows_refused + rows_set_aside),
    check (rows_differing <= rows_set_aside)
);
comment on table fm_migration.export_read_source is
    'What a reading took from each source; their rows_read together are those of export_read.';
comment on column fm_migration.export_read_source.source is
    'The name of the source, as in csv_metadata.source.';
comment on column fm_migration.export_read_source.origin is
    'The file, folder or server that it was read from.';
comment on column fm_migration.export_read_source.rows_set_aside is
    'Rows about photographs that a source before it names too: the first one counts.';
comment on column fm_migration.export_read_source.rows_differing is
    'Those of them that name another contact or another day.';
insert into fm_migration.export_read_source
select id, 'export_file', source, sha256, bytes, rows_present, rows_read, rows_refused, 0, 0
from fm_migration.export_read;
"""


def upgrade() -> None:
    op.execute(SOURCES)


def downgrade() -> None:
    op.execute("drop table fm_migration.export_read_source")
