"""The errors a person reads: what was being done, to what, what was found, what to do about it.

Belongs here: the one base class and its kinds. Does not belong here: catching them, which is the edge's
work (`cli.py` prints them, `defs/` turns them into a failed run that is not tried again).
"""

from __future__ import annotations


class FmMigrationError(Exception):
    """A failure whose message has four parts, so that its reader never has to ask "and now?".

    `doing` is a participle phrase ("reading the export"), `subject` names the thing (a file, a table, a
    row), `found` says what was there instead of what was expected, `remedy` is an instruction.
    The parts hold no patient data: rows are named by number, photographs by our own ids.
    """

    #: Whether the same call may succeed later with nothing changed by a person. Such failures are tried again.
    transient = False

    def __init__(self, doing: str, subject: str, found: str, remedy: str) -> None:
        self.doing = doing
        self.subject = subject
        self.found = found
        self.remedy = remedy
        super().__init__(doing, subject, found, remedy)

    def __str__(self) -> str:
        return f"{self.doing} {self.subject}: {self.found.rstrip('.')}. {self.remedy.rstrip('.')}."


class SettingsError(FmMigrationError):
    """A setting is missing, malformed, or names something that is not there."""


class EmbeddedStackError(FmMigrationError):
    """The PostgreSQL or the object server that we bring along does not start."""


class DatabaseError(FmMigrationError):
    """The clinic's database cannot be reached, or is not what we need it to be."""


class ContractError(DatabaseError):
    """The clinic's tables differ from the ones this version was written for."""


class ObjectStoreError(FmMigrationError):
    """The bucket cannot be reached, listed, read or written."""


class ExportError(FmMigrationError):
    """An export of FileMaker cannot be read without guessing."""


class ImplausibleInputError(FmMigrationError):
    """The input can be read and yet cannot be right: empty, shrunken, or in the middle of a re-import."""


class TransientError(FmMigrationError):
    """A time-out, a dropped connection, a throttled call: the same again may work."""

    transient = True
