"""The words of the sample: invented names, and the Types that clinicians wrote, as often as they wrote them.

Belongs here: lists, and picking from them. Does not belong here: what a Type means; the project's own table
of categories is elsewhere and is tested against this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

FIRST_NAMES = (
    "Ardel", "Bienka", "Corvin", "Dalise", "Evrard", "Fionel", "Gerwin", "Halka", "Isolde", "Jorund",
    "Kerena", "Lowis", "Maruna", "Nevio", "Odalys", "Perrin", "Quilla", "Rosmer", "Sunniva", "Tavish",
    "Ulrika", "Verena", "Wendel", "Xanthe", "Yorick", "Zelma",
)  # fmt: skip
LAST_NAMES = (
    "Achterbeek", "Brimwold", "Castellow", "Dunvarra", "Eskelund", "Farnhythe", "Gallowmere", "Hesketter",
    "Inverloch", "Jasperling", "Kettleburn", "Lindqvarn", "Morvanney", "Nettlesham", "O'Drissel", "Pellworth",
    "Quenborough", "Rathskeld", "Sandalwick", "Thistlemoor", "Umberlake", "Vantongeren", "Wexcombe",
    "Yarrowdale", "Zimbelman", "Ångermark",
)  # fmt: skip
STAFF = ("ortho.maddern", "ortho.pelleray", "front.desk", "ward.nurse")

#: The frequent Types with their counts in one real export (the blank one included).
FREQUENT_TYPES = (
    ("Dorsal", 1225), ("Posterior", 995), ("Planter", 870), ("R-Brannock", 826), ("L-Brannock", 814),
    ("Plantar", 411), ("Right Lat", 96), ("Left Lat", 92), ("Medial", 63), ("Shoe", 58), ("", 53),
    ("R-Shoe", 38), ("Lateral", 36), ("CMO", 35), ("iPad Left Bottom", 30), ("iPad Left Lateral", 31),
    ("iPad Left Top", 29), ("iPad Left Medial", 30), ("iPad Right Bottom", 30), ("iPad Right Lateral", 31),
    ("iPad Right Top", 29), ("iPad Right Medial", 30), ("Anterior", 27), ("R-MFoot", 23), ("Wound", 23),
    ("L-MFoot", 22), ("L-Shoe", 20), ("Pension Card", 19), ("PodBox", 18), ("Boots", 15), ("AFO", 15),
    ("Medicare Card", 15), ("Casts", 14), ("Right Leg", 11), ("Left Medial", 8), ("Left Dorsal", 6),
    ("X-Ray", 6),
)  # fmt: skip

_RARE_COUNT = 242
_RARE_TOTAL = 408
#: Texts that break careless readers: a missing-value word, separators, quotes, a FileMaker return, accents.
_AWKWARD_TYPES = (
    "NA", "Dorsal, weight bearing", 'Shoe "old pair"', "Left Lat\x0bafter fitting", "Médial gauche",
    "dorsal", "DORSAL", " Plantar ", "R - Brannock", "Left lat", "Right lateral", "AFO Left", "Planter Left",
    "Toe (R)", "Referral letter", "Prescription",
)  # fmt: skip
_RARE_NOUNS = (
    "Dorsal", "Plantar", "planter", "Posterior", "posterior", "Anterior", "Medial", "medial", "Lateral",
    "lat", "Wound", "wound", "Shoe", "shoes", "Boot", "AFO", "Cast", "Leg", "Brannock", "MFoot", "Toe",
)  # fmt: skip
_RARE_PATTERNS = (
    "Left {}", "Right {}", "L {}", "R {}", "{} Left", "{} Right", "{} (L)", "{} (R)", "{} L", "{} R",
    "LEFT {}", "RIGHT {}",
)  # fmt: skip


def _rare_types() -> list[tuple[str, int]]:
    known = {text for text, _ in FREQUENT_TYPES}
    combined = [pattern.format(noun) for noun in _RARE_NOUNS for pattern in _RARE_PATTERNS]
    texts = [t for t in dict.fromkeys((*_AWKWARD_TYPES, *combined)) if t not in known][:_RARE_COUNT]
    twice = _RARE_TOTAL - len(texts)
    return [(text, 2 if number < twice else 1) for number, text in enumerate(texts)]


ALL_TYPES: tuple[tuple[str, int], ...] = (*FREQUENT_TYPES, *_rare_types())


def types_for(count: int, rng: random.Random) -> list[str]:
    """So many Types in the proportions of the real export, shuffled."""
    pool = [text for text, times in ALL_TYPES for _ in range(times)]
    picked = [pool[(2 * i + 1) * len(pool) // (2 * count)] for i in range(count)]
    rng.shuffle(picked)
    return picked


def view_and_side(text: str) -> tuple[str, str]:
    """Which picture to draw for a Type: a view that `pictures` knows, and L, R or nothing."""
    words = text.lower().replace("(", " ").replace(")", " ").replace("-", " ").split()
    side = "L" if {"left", "l"} & set(words) else "R" if {"right", "r"} & set(words) else ""
    for stem, view in _VIEWS:
        if any(word.startswith(stem) for word in words):
            return view, side
    return "dorsal", side


_VIEWS = (
    ("brannock", "brannock"), ("mfoot", "brannock"), ("plant", "plantar"), ("bottom", "plantar"),
    ("posterior", "posterior"), ("anterior", "anterior"), ("leg", "anterior"), ("medial", "medial"),
    ("lat", "lateral"), ("wound", "wound"), ("shoe", "shoe"), ("boot", "shoe"), ("afo", "shoe"),
    ("cmo", "shoe"), ("podbox", "shoe"), ("cast", "shoe"), ("card", "card"), ("ray", "card"),
    ("referral", "card"), ("prescription", "card"),
)  # fmt: skip
