"""The report: one row per report, and one per subject and class of what is not as it should be."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

TABLES = """
create table fm_migration.report (
    id              bigint generated always as identity primary key,
    made_at         timestamptz not null default now(),
    run_id          text,
    export_read_id  bigint not null references fm_migration.export_read,
    snapshot_id     bigint not null references fm_migration.inventory_snapshot,
    patient_read_id bigint not null references fm_migration.patient_read,
    plan_id         bigint not null references fm_migration.link_plan,
    verdict         text not null,
    totals          jsonb not null,
    counts          jsonb not null,
    waived          jsonb not null,
    withheld        jsonb not null,
    data_version    text not null
);
comment on table fm_migration.report is
    'One row per report: what it was computed from, and what it found. Never an authority to delete anything.';
comment on column fm_migration.report.totals is
    'What adds up: rows by state, objects and bytes by class, images visible and not, and why.';
comment on column fm_migration.report.counts is
    'Open findings by class, the waived ones not counted.';
comment on column fm_migration.report.waived is
    'Findings by class that the clinic has accepted.';
comment on column fm_migration.report.withheld is
    'Classes that were not listed because their share is implausible: the fault is probably ours.';

create table fm_migration.finding (
    id            bigint generated always as identity primary key,
    class         text not null,
    subject       text not null,
    severity      text not null check (severity in ('error', 'warning', 'info')),
    evidence      jsonb not null,
    first_report  bigint not null references fm_migration.report,
    last_report   bigint not null references fm_migration.report,
    first_seen    timestamptz not null,
    last_seen     timestamptz not null,
    waiver        text,
    unique (class, subject)
);
create index finding_last_report on fm_migration.finding (last_report, class);
create index finding_subject on fm_migration.finding (subject);
comment on table fm_migration.finding is
    'One row per subject and class ever found. It is open while last_report is the newest report.';
comment on column fm_migration.finding.subject is
    'Kind and our own id, such as `image 6f9c...`, `object filemaker-import/77.jpg`, `recid 77`, `batch ...`.';
comment on column fm_migration.finding.evidence is
    'Our own ids of all that it touches: row, recid, key, image, batch, patient, table, column, and numbers.';
comment on column fm_migration.finding.waiver is
    'Why the clinic accepts it, from the file of waivers; null for a finding that counts.';

create view fm_migration.open_finding as
select finding.id, class, subject, severity, evidence, first_seen, last_seen
from fm_migration.finding
where last_report = (select max(id) from fm_migration.report) and waiver is null;
comment on view fm_migration.open_finding is 'What the newest report has found, without what the clinic accepts.';
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    op.execute("drop view fm_migration.open_finding")
    op.execute("drop table fm_migration.finding")
    op.execute("drop table fm_migration.report")
