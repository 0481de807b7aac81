"""FileMaker's export files, from bytes to rows whose every problem has a name.

Belongs here: encodings, dialects, columns, dates, types, the normalised row. Does not belong here: a database,
a bucket, Dagster, or any decision about what a row is linked to.

The way through the package: `reading.read` gives an `Export`, `rows.survey` looks once over the whole of it
(date order, duplicates), `rows.normalise` gives the rows in chunks.
"""
