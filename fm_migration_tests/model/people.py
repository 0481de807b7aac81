"""Who is who: the true persons, the rows that stood for them in the patients' table, and what our readings saw of it.

Belongs here: whom a former patient's links may follow and must follow, and who a contact of the export is. Does not
belong here: photographs, and anything that the code under test says about persons.

A change that nobody read cannot be known. So `may` answers are made of two things: the truth, and what every reader of
the same readings would have to believe; `must` answers are given only where both agree and nothing speaks against it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fm_migration_tests.linking.world import filemaker_id

#: Persons by the FileMaker id that is truly theirs. The ids of the last two differ in case only.
OWN_ID = {name: filemaker_id(name) for name in ("Anna", "Bert", "Cara", "Eve")}
OWN_ID["eve"] = OWN_ID["Eve"].lower()
PERSONS = tuple(OWN_ID)

Reading = dict[str, str | None]


@dataclass
class People:
    """Rows by their UUID: the FileMaker id that each holds as written, and whose it truly is."""

    present: Reading = field(default_factory=dict)
    person: dict[str, str] = field(default_factory=dict)
    #: The id that a row held when it went, whether anybody read it or not.
    last_held: Reading = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)
    #: What a person has settled, and what our first contact has recognised: a former UUID and the row it belongs to.
    settled: dict[str, str] = field(default_factory=dict)

    # --- what happens ---------------------------------------------------------------------------------------------

    def add(self, row: str, person: str, written: str | None) -> None:
        self.present[row] = written
        self.person[row] = person

    def remove(self, row: str) -> None:
        self.last_held[row] = self.present.pop(row)

    def read(self) -> None:
        if not self.readings or self.readings[-1] != self.present:
            self.readings.append(dict(self.present))

    def name(self, row: str) -> str:
        """A row for people: whose it is, and the how-manieth."""
        if row not in self.person:
            return f"nobody ({row[:8]})"
        rows = [other for other, person in self.person.items() if person == self.person[row]]
        return f"{self.person[row]}#{rows.index(row) + 1}"

    # --- what the readings say ------------------------------------------------------------------------------------

    @property
    def latest(self) -> Reading:
        return self.readings[-1] if self.readings else {}

    def was_read(self, row: str) -> bool:
        return any(row in reading for reading in self.readings)

    def are_two(self, written: str) -> bool:
        """Whether ids that differ from this one in case only have existed beside it, so that they are two ids."""
        spellings = [
            {held for held in reading.values() if held and held.lower() == written.lower()} for reading in self.readings
        ]
        return any(len(each) > 1 for each in spellings)

    def holders(self, written: str, reading: Reading) -> list[str]:
        """Who holds an id in a reading: as it is written, or without case where that is one id only."""
        if self.are_two(written):
            return [row for row, held in reading.items() if held == written]
        return [row for row, held in reading.items() if held and held.lower() == written.lower()]

    def parties(self, written: str) -> list[int]:
        """How many claim an id, reading by reading.

        Who goes while an id is shared still claims it: whoever comes next with it may be either of them. Who stays and
        lets it go does not, and who goes while it is his alone leaves it free.
        """
        counts: list[int] = []
        before: set[str] = set()
        owed, last = 0, Reading()
        for reading in self.readings:
            now = set(self.holders(written, reading))
            if len(before) + owed > 1:
                owed += sum(row not in reading for row in before)
            owed -= min(owed, sum(row not in before for row in now))
            counts.append(len(now) + owed)
            before, last = now, reading
        assert last == self.latest
        return counts

    def met(self, one: str, other: str) -> bool:
        """Whether two rows stood in the table at once: then one is not what became of the other."""
        return any(one in reading and other in reading for reading in self.readings)

    def believed_successor(self, row: str) -> str | None:
        """Who every reader of the readings would have to believe that a former row has become."""
        return self._successor(row, set())

    def _successor(self, row: str, passed: set[str]) -> str | None:
        if row in passed:
            return None
        if row in self.settled:
            heir = self.settled[row]
            return heir if heir in self.latest else self._successor(heir, passed | {row})
        if not self.was_read(row) or row in self.latest:
            return None
        went = max(number for number, reading in enumerate(self.readings) if row in reading)
        written = self.readings[went][row]
        if written is None or self.parties(written)[went] != 1:
            return None
        follower = self._next_holder(row, written, went)
        if follower is None or follower in self.latest:
            return follower
        return self._successor(follower, passed | {row})

    def _next_holder(self, row: str, written: str, went: int) -> str | None:
        """Who alone held an id next after the row that went with it, and holds it still or until it went too."""
        parties = self.parties(written)
        for number, reading in enumerate(self.readings[went + 1 :], start=went + 1):
            holders = self.holders(written, reading)
            if holders:
                (heir, *others) = holders
                kept = all(heir in self.holders(written, later) for later in self.readings[number:] if heir in later)
                shared = heir in self.latest and parties[-1] != 1
                if others or parties[number] != 1 or self.met(row, heir) or not kept or shared:
                    return None
                return heir
        return None

    # --- whom links may and must follow ---------------------------------------------------------------------------

    def may_follow(self, row: str, to: str) -> bool:
        """Whether what points at a row that is gone may be led to another one."""
        return self.person.get(row) == self.person[to] or self.believed_successor(row) == to

    def must_follow(self, row: str) -> str | None:
        """The row that what points at a former one must be led to; None where it is not clear."""
        heir = self.believed_successor(row)
        if heir is None or self.present != self.latest or row in self.settled:
            return None
        chain = self._chain(row)
        if any(self.person[each] != self.person[row] for each in chain):
            return None
        return heir if self._always_knew(chain) else None

    def _chain(self, row: str) -> list[str]:
        chain = [row]
        while chain[-1] not in self.latest:
            went = max(number for number, reading in enumerate(self.readings) if chain[-1] in reading)
            written = self.readings[went][chain[-1]]
            heir = self._next_holder(chain[-1], written, went) if written else None
            if heir is None or heir in chain:
                break
            chain.append(heir)
        return chain

    def _always_knew(self, chain: list[str]) -> bool:
        """Whether nobody else ever claimed the id that went through a chain, from the first going on."""
        went = max(number for number, reading in enumerate(self.readings) if chain[0] in reading)
        written = self.readings[went][chain[0]]
        assert written is not None
        strangers = {
            row
            for reading in self.readings[went:]
            for row in reading
            if row not in chain and reading[row] and (reading[row] or "").lower() == written.lower()
        }
        if strangers and not self.are_two(written):
            return False
        knew = all(self.last_held[row] == self._last_read(row) for row in chain if row not in self.present)
        same = all((self._last_read(row) or "").lower() == written.lower() for row in chain)
        exact = not self.are_two(written) or all(self._last_read(row) == written for row in chain)
        return knew and same and exact and all(count <= 1 for count in self.parties(written)[went:])

    def _last_read(self, row: str) -> str | None:
        return next(reading[row] for reading in reversed(self.readings) if row in reading)

    # --- whose a contact of the export is -------------------------------------------------------------------------

    def persons_of(self, contact: str) -> set[str]:
        """Who a contact truly is: by the UUID of a row, by a FileMaker id as it is written, else without case."""
        if contact.lower() in self.person:
            return {self.person[contact.lower()]}
        exact = {name for name, own in OWN_ID.items() if own == contact}
        return exact or {name for name, own in OWN_ID.items() if own.lower() == contact.lower()}

    def believed_home(self, contact: str) -> str | None:
        """The row that every reader of the readings would have to take for a contact's."""
        row = contact.lower()
        if row in self.person:
            return row if row in self.latest else self.believed_successor(row)
        exact = [holder for holder, held in self.latest.items() if held == contact]
        found = exact or self.holders(contact, self.latest)
        if len(found) != 1:
            return None
        (home,) = found
        written = self.latest[home] or ""
        if self.parties(written)[-1] != 1 or self._passed_on(home, written):
            return None
        return home

    def _passed_on(self, home: str, written: str) -> bool:
        """Whether an id came to somebody from one who went with it, and who had stood beside him in the table."""
        for before, after in zip(self.readings, self.readings[1:], strict=False):
            for row in self.holders(written, before):
                if row != home and row not in after and self.met(row, home):
                    return True
        return False

    def may_be_home(self, contact: str, row: str) -> bool:
        return self.person[row] in self.persons_of(contact) or self.believed_home(contact) == row

    def must_be_home(self, contact: str) -> str | None:
        home = self.believed_home(contact)
        if home is None or self.present != self.latest or {self.person[home]} != self.persons_of(contact):
            return None
        if contact.lower() not in self.person and self._spelled_otherwise_by_others(contact, home):
            return None
        if contact.lower() in self.person and home != contact.lower() and self.must_follow(contact.lower()) != home:
            return None
        return home

    def _spelled_otherwise_by_others(self, contact: str, home: str) -> bool:
        """Whether somebody else has held the id in another spelling, and never beside this one, so that they blur."""
        if self.are_two(contact):
            return self.latest[home] != contact
        return any(
            held and held != contact and held.lower() == contact.lower() and self.person[row] != self.person[home]
            for reading in self.readings
            for row, held in reading.items()
        )
