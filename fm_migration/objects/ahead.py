"""Reading a few items ahead of whoever takes them, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


def read_ahead(
    pool: ThreadPoolExecutor,
    items: Iterable[_Item],
    read: Callable[[_Item], _Answer],
    *,
    most: int,
    size_of: Callable[[_Item], int] | None = None,
    most_bytes: int = 0,
) -> Iterator[_Answer]:
    """What `read` returns of each item, in their order; at most so many, or so many bytes, are read or being read.

    An item that is larger than `most_bytes` is read alone.
    """
    waiting: deque[tuple[Future[_Answer], int]] = deque()
    held = 0
    try:
        for item in items:
            size = size_of(item) if size_of else 0
            while waiting and (len(waiting) >= most or held + size > most_bytes):
                first, its_size = waiting.popleft()
                answer = first.result()
                held -= its_size
                yield answer
            waiting.append((pool.submit(read, item), size))
            held += size
        while waiting:
            yield waiting.popleft()[0].result()
    finally:
        for future, _ in waiting:
            future.cancel()
