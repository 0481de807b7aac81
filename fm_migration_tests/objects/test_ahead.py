"""Reading ahead: in order, within bounds, and a failure is raised in its turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fm_migration.objects.ahead import read_ahead

_Item = tuple[int, int]


def _ahead(
    pool: ThreadPoolExecutor, sizes: list[int], read: Callable[[_Item], int], most: int, budget: int
) -> Iterator[int]:
    items = enumerate(sizes)
    return read_ahead(pool, items, read, most=most, size_of=lambda item: item[1], most_bytes=budget)


@given(sizes=st.lists(st.integers(0, 50), max_size=40), most=st.integers(1, 6), budget=st.integers(1, 60))
def test_reading_ahead_keeps_the_order_and_the_bounds(sizes: list[int], most: int, budget: int) -> None:
    held: dict[int, int] = {}
    lock = threading.Lock()

    def read(item: tuple[int, int]) -> int:
        with lock:
            held[item[0]] = item[1]
            assert len(held) <= most + 1, "one more is in the hands of whoever took it"
            assert len(held) <= 2 or sum(held.values()) - max(held.values()) <= budget + max(held.values())
        return item[0]

    with ThreadPoolExecutor(4) as pool:
        taken = []
        for number in _ahead(pool, sizes, read, most, budget):
            taken.append(number)
            with lock:
                held.pop(number)
    assert taken == list(range(len(sizes)))


def test_what_goes_wrong_while_reading_ahead_is_raised_in_its_turn() -> None:
    def read(number: int) -> int:
        if number == 2:
            raise OSError("broken")
        return number

    taken: list[int] = []
    with ThreadPoolExecutor(2) as pool, pytest.raises(OSError, match="broken"):
        taken.extend(read_ahead(pool, range(9), read, most=4))
    with ThreadPoolExecutor(2) as pool:
        reader = read_ahead(pool, range(9), read, most=4)
        assert [next(reader), next(reader)] == [0, 1]
