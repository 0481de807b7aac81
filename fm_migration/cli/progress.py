"""The one progress bar of the terminal. Elsewhere than on a terminal it is silent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: Called with the kind of work, how much of it is done, and how much there is.
OnProgress = Callable[[str, int, int], None]


def progress_bar(console: Console) -> Progress:
    """Bars with how much is done of how much, and how long the rest may take."""
    # Imported here: most commands have no bar.
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)


@contextmanager
def progress_bars(console: Console) -> Iterator[OnProgress]:
    """Bars while the block lasts, one for each kind of work, from when it is first heard of."""
    with progress_bar(console) as bars:
        known: dict[str, TaskID] = {}

        def on_progress(what: str, done: int, total: int) -> None:
            if what not in known:
                known[what] = bars.add_task(what)
            bars.update(known[what], completed=done, total=total)

        yield on_progress
