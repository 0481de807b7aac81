"""Which file is which photograph, and what fits together: decided from paths, the manifest and checksums.

Belongs here: the decision, as pure functions. Does not belong here: reading files, the dump, patients.

In two steps, because bytes are read only once: `sort_out` says which files may be which photograph before any is read,
`judge` says of one photograph's files which one is it. Nothing is chosen silently: where two say different things, both
are left, with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fm_migration.filemaker.desktop.manifest import EMPTY_CONTAINER, Manifest, ManifestLine, line_of
from fm_migration.filemaker.desktop.paths import PathFacts, is_manifest, read_path
from fm_migration.filemaker.desktop.states import State
from fm_migration.filemaker.rows import uuid_of

#: With these, and without any trouble, the bytes are there and can be compared.
_WITH_BYTES = (None, State.NOT_AN_IMAGE, State.BROKEN)
#: What a line of the manifest knows better than the file's path.
_MANIFEST_KNOWS = frozenset({State.MISNAMED, State.MISPLACED})


class Candidate(NamedTuple):
    """A file that claims to be a photograph."""

    path: str
    said: PathFacts
    #: What the manifest says of it, if anything.
    line: ManifestLine | None
    #: Whether the manifest names this very file, not only its photograph.
    listed: bool

    @property
    def contact(self) -> str:
        """Whose photograph it is said to be."""
        told = self.line.contact if self.line is not None else None
        return self.said.contact if told is None else told

    @property
    def date(self) -> str:
        """Of which day, as it is written."""
        told = self.line.date if self.line is not None else None
        return self.said.date if told is None else told

    @property
    def contradicts(self) -> bool:
        """Whether folder and manifest name two patients."""
        mine, theirs = uuid_of(self.said.contact), uuid_of(self.contact)
        return mine is not None and theirs is not None and mine != theirs


@dataclass(frozen=True)
class Photograph:
    """One photograph, and the files that claim to be it: nearly always one."""

    recid: str | None
    image_id: str | None
    candidates: tuple[Candidate, ...]

    @property
    def name(self) -> str:
        """By what it is known, whatever its file is called."""
        return f"recid {self.recid}" if self.recid is not None else f"image {self.image_id}"

    @property
    def stem(self) -> str:
        """Its name in the dump, without extension."""
        return self.recid or str(self.image_id)


class SortedOut(NamedTuple):
    """Every file once: as one of a photograph's, or with its state; and the lines of the manifest without a file."""

    photographs: list[Photograph]
    states: dict[str, State]
    without_file: list[tuple[ManifestLine, State]]


class Bytes(NamedTuple):
    """What reading a file has told. `trouble` is what the bytes alone say against it."""

    size: int
    md5: str
    trouble: State | None = None


class Judgement(NamedTuple):
    """The file that is the photograph, if one is, and the state of every other one."""

    chosen: Candidate | None
    states: dict[str, State]


def sort_out(
    files: Mapping[str, State | None], manifest: Manifest, recids: Mapping[str, str] | None = None
) -> SortedOut:
    """Which files may be which photograph.

    `files` are all files of the folder, each with its state where one is known already (a link, one that still grows);
    `recids` are the recids of image ids, as other sources know them.
    """
    states: dict[str, State] = {}
    groups: dict[str, list[tuple[Candidate, str | None, str | None]]] = {}
    waiting: set[str] = set()
    met: set[ManifestLine] = set()
    for path in sorted(files):
        found = _claim(path, manifest, recids or {})
        met.update(found.lines)
        state = files[path] or found.trouble
        if state is None or (state is State.GROWING and found.trouble is None):
            groups.setdefault(found.name, []).append((found.candidate, found.recid, found.image_id))
            waiting |= {found.name} if state is State.GROWING else set()
        else:
            states[path] = found.trouble if found.trouble is State.CLUTTER else state
    photographs = []
    for name, members in groups.items():
        if name in waiting:
            # Its other files may be another picture than the one that is on its way.
            states |= {candidate.path: State.GROWING for candidate, _, _ in members}
            continue
        image_ids = {image_id for _, _, image_id in members if image_id}
        photographs.append(
            Photograph(
                members[0][1], image_ids.pop() if len(image_ids) == 1 else None, tuple(member[0] for member in members)
            )
        )
    without = [(line, _state_without_file(line)) for line in manifest.lines if line not in met]
    return SortedOut(photographs, states, without)


def judge(photograph: Photograph, contents: Mapping[str, Bytes], manifest: Manifest) -> Judgement:
    """Which of its files is the photograph, given what all of them hold."""
    if any(found.trouble is State.GROWING for found in contents.values()):
        return Judgement(None, {candidate.path: State.GROWING for candidate in photograph.candidates})
    states: dict[str, State] = {}
    sound: list[Candidate] = []
    for candidate in photograph.candidates:
        trouble = _trouble(candidate, contents[candidate.path], manifest)
        if trouble is None:
            sound.append(candidate)
        else:
            states[candidate.path] = trouble
    listed = [candidate for candidate in sound if candidate.listed]
    best = listed or sound
    if not best:
        return Judgement(None, states)
    if len({contents[candidate.path].md5 for candidate in best}) > 1:
        return Judgement(None, states | dict.fromkeys((candidate.path for candidate in sound), State.DOUBLED))
    if len({uuid_of(candidate.contact) or candidate.contact for candidate in best}) > 1:
        return Judgement(None, states | dict.fromkeys((candidate.path for candidate in sound), State.CONTRADICTS))
    chosen = min(best, key=lambda candidate: (candidate.contradicts, candidate.said.again, candidate.path))
    if chosen.contradicts:
        return Judgement(None, states | dict.fromkeys((candidate.path for candidate in sound), State.CONTRADICTS))
    md5 = contents[chosen.path].md5
    for candidate in sound:
        if candidate is not chosen:
            states[candidate.path] = State.SAME_AGAIN if contents[candidate.path].md5 == md5 else State.DOUBLED
    return Judgement(chosen, states)


class _Claim(NamedTuple):
    """What one file claims, or why it claims nothing."""

    trouble: State | None
    name: str
    recid: str | None
    image_id: str | None
    candidate: Candidate
    lines: Sequence[ManifestLine] = ()


def _claim(path: str, manifest: Manifest, recids: Mapping[str, str]) -> _Claim:
    said = read_path(path)
    line = line_of(manifest, path)
    if line is not None and said.trouble in (None, *_MANIFEST_KNOWS):
        return _of_line(path, said._replace(trouble=None), line, recids, listed=True)
    nobody = Candidate(path, said, None, listed=False)
    if said.trouble is not None:
        trouble = State.MANIFEST if is_manifest(path) and said.trouble is State.MISNAMED else said.trouble
        return _Claim(trouble, "", None, None, nobody, [line] if line else ())
    own = f"recid {said.recid}" if said.recid else f"image {said.image_id}"
    lines = manifest.by_photo.get(own, ())
    if len(lines) > 1:
        # Several records have this id, and only the manifest's path could have told which one the file is of.
        return _Claim(State.DOUBLED, "", None, None, nobody)
    if lines:
        return _of_line(path, said, lines[0], recids, listed=False)
    recid = said.recid or recids.get(said.image_id or "")
    name = f"recid {recid}" if recid else own
    return _Claim(None, name, recid, said.image_id, nobody)


def _of_line(path: str, said: PathFacts, line: ManifestLine, recids: Mapping[str, str], *, listed: bool) -> _Claim:
    recid = line.recid or recids.get(line.image_id or "")
    name = f"recid {recid}" if recid else f"image {line.image_id}"
    return _Claim(None, name, recid, line.image_id, Candidate(path, said, line, listed), [line])


def _trouble(candidate: Candidate, found: Bytes, manifest: Manifest) -> State | None:
    """What speaks against a file by its bytes and by what the manifest says of it."""
    line = candidate.line
    if line is not None and line.error and candidate.listed:
        return State.EMPTY_IN_FILEMAKER if line.error == EMPTY_CONTAINER else State.FAILED_IN_FILEMAKER
    if line is None or found.trouble not in _WITH_BYTES:
        return found.trouble
    if line.md5 is not None and line.md5 != found.md5:
        if any(other.md5 == found.md5 and other is not line for other in manifest.by_md5.get(found.md5, ())):
            return State.SWAPPED
        return State.CUT_OFF if line.bytes is not None and found.size < line.bytes else State.MD5_DIFFERS
    if line.md5 is None and line.bytes is not None and line.bytes != found.size:
        return State.CUT_OFF
    # Damaged in FileMaker itself: then this is all there is of the photograph.
    return None if line.md5 is not None and found.trouble is State.BROKEN else found.trouble


def _state_without_file(line: ManifestLine) -> State:
    if line.error == EMPTY_CONTAINER:
        return State.EMPTY_IN_FILEMAKER
    return State.MISSING if line.names_a_file else State.FAILED_IN_FILEMAKER
