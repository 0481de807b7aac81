"""Which column of an export holds what: by heading where there is a header, by position where there is none.

Belongs here: profiles of columns, aliases of headings, telling a header from a row. Does not belong here: what
a cell means (`rows.py`). The profiles are data: `columns.toml` beside this module, extended by a file of the
clinic's own in the same form.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from fm_migration.errors import ExportError, SettingsError

#: What we know a column to be. `ignored` is for columns that an export has and we do not want.
FIELDS = (
    "recid",
    "image_id",
    "contact",
    "date",
    "type",
    "file_name",
    "display_name",
    "nexus_export_date",
    "note",
    "ignored",
)
_SAMPLE = 200

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Profile:
    """A set of columns that exports have, in the order that a file without a header has them in."""

    name: str
    order: tuple[str, ...]
    optional: frozenset[str] = frozenset()

    @property
    def required(self) -> frozenset[str]:
        """The fields without which a file is not of this profile."""
        return frozenset(self.order) - self.optional - {"ignored"}


@dataclass(frozen=True)
class Profiles:
    """All profiles that a file may have, and the headings that stand for each field."""

    profiles: tuple[Profile, ...]
    headings: Mapping[str, tuple[str, ...]]
    _fields: Mapping[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        fields = {_plain(heading): name for name, headings in self.headings.items() for heading in headings}
        object.__setattr__(self, "_fields", fields)

    def field_of(self, heading: str) -> str | None:
        """The field that a heading stands for, whatever its case and its table prefix."""
        return self._fields.get(_plain(heading))

    def described(self, profile: Profile) -> str:
        """The profile's columns by their first heading, for a message."""
        return ", ".join(self.headings.get(name, (name,))[0] for name in profile.order)


@dataclass(frozen=True)
class ColumnLayout:
    """The columns of one file."""

    profile: str
    positions: Mapping[str, int]
    width: int
    headings: tuple[str, ...] | None = None

    @property
    def header(self) -> bool:
        """Whether the first record holds the headings."""
        return self.headings is not None


@cache
def built_in_profiles() -> Profiles:
    """The column sets that come with us."""
    text = resources.files(__package__).joinpath("columns.toml").read_text("utf-8")
    return _extended(Profiles((), {}), tomllib.loads(text), "columns.toml")


def load_profiles(path: Path | None = None) -> Profiles:
    """The built-in profiles, and before them those of a TOML file of the clinic's own."""
    if path is None:
        return built_in_profiles()
    try:
        data = tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _bad_profiles(path.name, f"it cannot be read ({type(error).__name__}: {error})") from error
    return _extended(built_in_profiles(), data, path.name)


def recognise(
    rows: Rows, profiles: Profiles, header: bool | None = None, profile: str | None = None
) -> ColumnLayout | None:
    """The layout of a file whose first records are `rows`, or None if nothing fits."""
    if not rows:
        return None
    candidates = _candidates(profiles, profile)
    if header is True or (header is None and _is_header(rows[0], profiles)):
        return _by_headings(rows[0], profiles, candidates)
    return _by_position(rows, candidates)


def identify(
    rows: Rows, profiles: Profiles, name: str, header: bool | None = None, profile: str | None = None
) -> ColumnLayout:
    """As `recognise`, but a file that does not fit is refused with what was found and what was expected."""
    candidates = _candidates(profiles, profile)
    if not candidates:
        raise ExportError(
            "choosing the columns of",
            name,
            f"there is no profile {profile!r}",
            f"Choose one of {', '.join(known.name for known in profiles.profiles)}, or declare it in the columns file",
        )
    layout = recognise(rows, profiles, header, profile)
    if layout is not None:
        return layout
    if rows and header is not False and _is_header(rows[0], profiles):
        raise _unknown_headings(rows[0], profiles, candidates, name)
    raise _unknown_positions(rows, profiles, candidates, name)


def _candidates(profiles: Profiles, profile: str | None) -> list[Profile]:
    return [known for known in profiles.profiles if profile in (None, known.name)]


def _plain(heading: str) -> str:
    """A heading as it is compared: FileMaker writes related fields as `Table::Field`."""
    return re.sub(r"[\s_]+", " ", heading.replace("\ufeff", "").rpartition("::")[2]).strip().casefold()


def _is_header(cells: Sequence[str], profiles: Profiles) -> bool:
    """Whether a first record holds headings. A row may have "Date" for a Type twice, but then it has ids too."""
    known = sum(profiles.field_of(cell) is not None for cell in cells)
    return known >= 2 and not any(_UUID.fullmatch(cell) or _DATE.fullmatch(cell) for cell in cells)


def _by_headings(cells: Sequence[str], profiles: Profiles, candidates: Sequence[Profile]) -> ColumnLayout | None:
    fields = [profiles.field_of(cell) for cell in cells]
    named = [name for name in fields if name is not None and name != "ignored"]
    if None in fields or len(set(named)) < len(named):
        return None
    fitting = (known for known in candidates if known.required <= set(named) <= set(known.order))
    found = next(fitting, None)
    if found is None:
        return None
    positions = {name: at for at, name in enumerate(fields) if name is not None and name != "ignored"}
    return ColumnLayout(found.name, positions, len(cells), tuple(cells))


def _by_position(rows: Rows, candidates: Sequence[Profile]) -> ColumnLayout | None:
    fitting = [known for known in candidates if _fits(known, rows)]
    # Two profiles of the same width that both fit would be a choice between two meanings: nobody makes it here.
    if len({known.order for known in fitting}) != 1:
        return None
    found = fitting[0]
    positions = {name: at for at, name in enumerate(found.order) if name != "ignored"}
    return ColumnLayout(found.name, positions, len(found.order))


_UUID = re.compile(r"\{?[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}(?:\1[0-9a-fA-F]{4}){2}\1[0-9a-fA-F]{12}\}?")
_DATE = re.compile(r"[0-9]{1,4}([/.-])[0-9]{1,2}\1[0-9]{1,4}(?:[ T].*)?")
_NUMBER = re.compile(r"[0-9]+")
_SHAPES = {"recid": _NUMBER, "image_id": _UUID, "contact": _UUID, "date": _DATE}


def _fits(profile: Profile, rows: Rows) -> bool:
    """Whether most cells look like what the profile says stands in their place."""
    width = len(profile.order)
    whole = [row for row in rows[:_SAMPLE] if len(row) == width]
    if len(whole) * 2 < len(rows[:_SAMPLE]) or not _could_be_data(profile, rows[0]):
        return False
    shaped = 0
    for name, shape in _SHAPES.items():
        if name not in profile.order:
            continue
        cells = [cell for row in whole if (cell := row[profile.order.index(name)].strip(" "))]
        good = sum(shape.fullmatch(cell) is not None for cell in cells)
        if good * 10 < len(cells) * 6:
            return False
        shaped += good > 0
    return shaped >= 2


def _could_be_data(profile: Profile, row: Sequence[str]) -> bool:
    """False for a first row in which nothing looks as it should: headings that we do not know."""
    looks = [
        shape.fullmatch(cell) is not None
        for name, shape in _SHAPES.items()
        if name in profile.order and (at := profile.order.index(name)) < len(row) and (cell := row[at].strip(" "))
    ]
    return not looks or any(looks)


def _unknown_headings(
    cells: Sequence[str], profiles: Profiles, candidates: Sequence[Profile], name: str
) -> ExportError:
    fields = [profiles.field_of(cell) for cell in cells]
    nearest = max(candidates, key=lambda known: len(set(known.order) & set(fields)))
    # What is not a heading that we know may be patient data, and is named by its place.
    shown = [cell if fields[at] else f"column {at + 1}" for at, cell in enumerate(cells)]
    unknown = [name for name, known in zip(shown, fields, strict=True) if known not in (*nearest.order, "ignored")]
    missing = [profiles.headings[known][0] for known in nearest.order if known in nearest.required - set(fields)]
    named = [known for known in fields if known not in (None, "ignored")]
    twice = sorted({known for known in named if known is not None and named.count(known) > 1})
    parts = [f"its columns are {_listed(shown)}"]
    parts += [f"unknown: {_listed(unknown)}"] if unknown else []
    parts += [f"missing: {_listed(missing)}"] if missing else []
    parts += [f"named twice: {_listed(twice)}"] if twice else []
    return ExportError(
        "recognising the columns of",
        name,
        f"{'; '.join(parts)}; expected: {profiles.described(nearest)}",
        "Export these columns, or declare yours in a TOML file and set FM_EXPORT_COLUMNS to it",
    )


def _unknown_positions(rows: Rows, profiles: Profiles, candidates: Sequence[Profile], name: str) -> ExportError:
    # What is not a header that we know may be patient data: the message says what they look like, not what they are.
    shapes = [_shape(rows, at) for at in range(max((len(row) for row in rows[:1]), default=0))]
    expected = "; or ".join(f"{len(known.order)} columns: {profiles.described(known)}" for known in candidates)
    return ExportError(
        "recognising the columns of",
        name,
        f"its first line is not a header that we know, and its {len(shapes)} columns look like "
        f"{', '.join(shapes[:40])}; expected {expected}",
        "Export these columns in this order, or declare yours in a TOML file and set FM_EXPORT_COLUMNS to it",
    )


def _shape(rows: Rows, at: int) -> str:
    cells = [cell for row in rows[:_SAMPLE] if at < len(row) and (cell := row[at].strip(" "))]
    if not cells:
        return "nothing"
    shapes = {"number": _NUMBER, "UUID": _UUID, "date": _DATE}
    for name, shape in shapes.items():
        if sum(shape.fullmatch(cell) is not None for cell in cells) * 10 >= len(cells) * 6:
            return name
    return "text"


def _listed(headings: Sequence[str]) -> str:
    shown = ", ".join(
        heading if heading.isprintable() else repr(heading) for heading in (h[:40] for h in headings[:30])
    )
    return shown + (", ..." if len(headings) > 30 else "")


def _extended(base: Profiles, data: Mapping[str, Any], source: str) -> Profiles:
    """The base with the profiles and headings of a parsed file laid over it."""
    if unknown := sorted(set(data) - {"headings", "profiles"}):
        raise _bad_profiles(source, f"it has the unknown sections {', '.join(unknown)}")
    headings = dict(base.headings)
    for name, names in _table(data, "headings", source).items():
        _check_fields([name], source)
        headings[name] = (*headings.get(name, ()), *_strings(names, source))
    new = tuple(_profile(name, spec, source) for name, spec in _table(data, "profiles", source).items())
    kept = tuple(known for known in base.profiles if known.name not in {profile.name for profile in new})
    return replace(base, profiles=(*new, *kept), headings=headings)


def _profile(name: str, spec: object, source: str) -> Profile:
    if not isinstance(spec, dict) or set(spec) - {"order", "optional"}:
        raise _bad_profiles(source, f"profile {name} must have the keys order and optional, and no others")
    order = _strings(spec.get("order", []), source)
    optional = _strings(spec.get("optional", []), source)
    _check_fields([*order, *optional], source)
    named = [known for known in order if known != "ignored"]
    if "recid" not in named or len(set(named)) < len(named) or not set(optional) <= set(order):
        raise _bad_profiles(source, f"profile {name} needs recid, no field twice, and optional fields out of its order")
    return Profile(name, tuple(order), frozenset(optional))


def _table(data: Mapping[str, Any], key: str, source: str) -> dict[str, object]:
    table = data.get(key, {})
    if not isinstance(table, dict):
        raise _bad_profiles(source, f"[{key}] is not a table")
    return table


def _strings(value: object, source: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _bad_profiles(source, f"{value!r} is not a list of texts")
    return value


def _check_fields(names: Sequence[str], source: str) -> None:
    if unknown := [name for name in names if name not in FIELDS]:
        raise _bad_profiles(source, f"{', '.join(unknown)} is none of the fields {', '.join(FIELDS)}")


def _bad_profiles(source: str, found: str) -> SettingsError:
    return SettingsError("reading the column profiles", source, found, "Correct the file that FM_EXPORT_COLUMNS names")
