"""What other tables of the app hang on images and batches: foreign keys, and generic links."""

from __future__ import annotations

from sqlalchemy import Connection, text

from fm_migration.clinic.link_columns import find_link_columns, quoted

_REFERRED = text("create temporary table if not exists referred (id text primary key) on commit drop")
_FOREIGN_KEYS = text("""
select relation.conrelid::regclass::text as table_name, attribute.attname as column_name
from pg_constraint as relation
join pg_attribute as attribute on attribute.attrelid = relation.conrelid and attribute.attnum = any (relation.conkey)
where relation.contype = 'f' and relation.conparentid = 0
  and relation.confrelid in (to_regclass('images_image'), to_regclass('images_batch'))
  and not (relation.conrelid = to_regclass('images_image') and relation.confrelid = to_regclass('images_batch'))
""")
_OF_IMAGES = (
    "select id from django_content_type where (app_label, model) in (('images', 'image'), ('images', 'imagebatch'))"
)


def list_referred(connection: Connection) -> None:
    """Fill the temporary table `referred`: what is listed there must not be removed."""
    connection.execute(_REFERRED)
    add = "insert into referred select distinct lower({column}::text) from {table} where {which} on conflict do nothing"
    for key in connection.execute(_FOREIGN_KEYS).all():
        column = quoted(key.column_name)
        which = f"{column} is not null"
        connection.execute(text(add.format(column=column, table=key.table_name, which=which)))
    for link in find_link_columns(connection):
        column = quoted(link.column)
        which = f'{column} is not null and "{link.content_type_column}" in ({_OF_IMAGES})'
        connection.execute(text(add.format(column=column, table=link.table, which=which)))
    connection.execute(text("analyze referred"))
