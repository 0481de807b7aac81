"""Whether two pictures show the same: a hash that survives shrinking and recompression, and a mean colour.

Belongs here: comparing what pictures look like. Does not belong here: deciding what follows from it (adoption.py).

The hash: the picture is averaged into 9 × 9 grey cells, and each bit says whether a cell is darker than its
neighbour: first 72 bits from left to right, row by row, then 72 from top to bottom, column by column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from PIL import Image

_CELLS = 9
_STEPS = _CELLS - 1
BITS = 2 * _CELLS * _STEPS

Bits = tuple[bool, ...]


def portrait(image: Image.Image) -> tuple[str, str]:
    """Perceptual hash and mean colour ("#rrggbb") of a small picture in RGB or grey."""
    cells = image.convert("RGB").resize((_CELLS, _CELLS), Image.Resampling.BOX)
    data = cells.tobytes()
    mean = [round(sum(data[band::3]) / _CELLS**2) for band in range(3)]
    grey = cells.convert("L").tobytes()
    rows = [grey[start : start + _CELLS] for start in range(0, _CELLS**2, _CELLS)]
    columns = [grey[start::_CELLS] for start in range(_CELLS)]
    return _as_text(_steps(rows) + _steps(columns)), "#" + bytes(mean).hex()


def distance(one: str, other: str) -> int:
    """In how many of its `BITS` bits a hash differs from another."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def turnings(text: str) -> list[str]:
    """The hashes that the same picture would have if it were turned or mirrored: seven, without itself."""
    across, down = _halves(_as_bits(text))
    found = []
    for flip_x, flip_y, transpose in (
        (flip_x, flip_y, transpose) for flip_x in (False, True) for flip_y in (False, True) for transpose in (0, 1)
    ):
        if flip_x or flip_y or transpose:
            new_across = _flipped(across, along=flip_x, lines=flip_y)
            new_down = _flipped(down, along=flip_y, lines=flip_x)
            pair = (new_down, new_across) if transpose else (new_across, new_down)
            found.append(_as_text(tuple(bit for half in pair for line in half for bit in line)))
    return found


def colour_distance(one: str, other: str) -> int:
    """The largest difference of any channel between two colours, 0 to 255."""
    pairs = zip(bytes.fromhex(one[1:]), bytes.fromhex(other[1:]), strict=True)
    return max(abs(a - b) for a, b in pairs)


def _steps(lines: Sequence[bytes]) -> Bits:
    return tuple(left < right for line in lines for left, right in pairwise(line))


def _flipped(half: list[Bits], *, along: bool, lines: bool) -> list[Bits]:
    """Steps run the other way when the picture is flipped along them; the lines change places when across."""
    turn: Callable[[Bits], Bits] = (lambda line: tuple(not bit for bit in reversed(line))) if along else tuple
    return [turn(line) for line in (reversed(half) if lines else half)]


def _halves(bits: Bits) -> tuple[list[Bits], list[Bits]]:
    lines = [bits[start : start + _STEPS] for start in range(0, BITS, _STEPS)]
    return lines[:_CELLS], lines[_CELLS:]


def _as_text(bits: Bits) -> str:
    return f"{int(''.join('1' if bit else '0' for bit in bits), 2):0{BITS // 4}x}"


def _as_bits(text: str) -> Bits:
    return tuple(digit == "1" for digit in f"{int(text, 16):0{BITS}b}")
