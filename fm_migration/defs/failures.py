"""Failures of a run as a person should read them, with nothing in them that must not leave the database.

Dagster keeps the text of every exception in its event log, and a driver's exception may quote the row that it stumbled
over. So errors of this project are passed on as they are, and of all others only the kind and the place.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psycopg
from sqlalchemy.exc import DBAPIError

from fm_migration import database
from fm_migration.errors import FmMigrationError


@contextmanager
def readable_failures() -> Iterator[None]:
    """Around the body of an asset: whatever is raised inside ends the step with a message for people."""
    try:
        yield
    except (dg.Failure, dg.RetryRequested, GeneratorExit):
        raise
    except FmMigrationError as error:
        raise as_failure(error) from None
    except (DBAPIError, psycopg.Error) as error:
        raise as_failure(database.explain_statement(error)) from None
    except Exception as error:
        raise dg.Failure(
            description=f"{type(error).__name__} in {_place(error)}. Its text is left out, as it may quote a patient's "
            "row: run the same asset in a terminal of your own to see it, and report it as a fault of fm_migration.",
            allow_retries=False,
        ) from None


def as_failure(error: FmMigrationError) -> dg.Failure:
    """Only what may go better by itself is tried again."""
    return dg.Failure(description=str(error), allow_retries=error.transient)


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "fm_migration" in Path(frame.filename).parts] or frames
    return " ← ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(ours[-4:]))
