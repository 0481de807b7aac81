"""Designing a clinic: who is in it, what FileMaker exported, what lies in the bucket, and every planted mess.

Pure: the same seed, size and variant always give the same clinic, and nothing is read or written. The parts are
designed in `people`, `photographs`, `export`, `dump` and `leftovers`.
"""

from __future__ import annotations

from fm_migration.embedded.sample import dump, export, leftovers, people, photographs
from fm_migration.embedded.sample.mess import (
    LEFT_BY_IMPORT,
    LEFT_BY_RUNS,
    STALE_GENERATIONS,
    amounts,
    totals,
)
from fm_migration.embedded.sample.model import Clinic, Variant


def design_clinic(size: float = 1.0, seed: int = 1, *, variant: Variant = "fresh") -> Clinic:
    """The sample clinic. `size` 1.0 is the real one; `mess.totals` has the floors of a small one.

    fresh: patients, documents and hand-made batches; nothing was imported yet.
    imported: as the clinic's own command leaves it after one good import.
    stale: after nine imports, each followed by a re-import of the patients (DOMAIN.md section 1).
    """
    counts, sizes = amounts(size), totals(size)
    generation = STALE_GENERATIONS + 1 if variant == "stale" else 1
    everybody = people.design(seed, sizes, counts, generation)
    shots = photographs.design(seed, sizes, counts, everybody)
    rows = tuple(export.design(seed, shots))
    objects = tuple(dump.design(seed, counts, shots))
    left = leftovers.design(seed, variant, sizes.documents, counts, everybody.patients, rows, objects)
    absent: frozenset[str] = frozenset()
    if variant != "imported":
        absent |= LEFT_BY_IMPORT
    if variant == "fresh":
        absent |= LEFT_BY_RUNS
    planted = {name: amount for name, amount in counts.items() if name not in absent}
    planted["row_without_object"] = sum(shot.rows for shot in shots if not shot.has_object)
    return Clinic(
        seed=seed,
        size=size,
        variant=variant,
        generation=generation,
        mess=planted,
        patients=everybody.patients,
        rows=rows,
        objects=objects,
        uploads=left.uploads,
        batches=left.batches,
        images=left.images,
        documents=left.documents,
        relationships=left.relationships,
    )
