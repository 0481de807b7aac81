"""Trying again: as often as said, for failures that pass, and with the pause that the other side asks for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import stamina

from fm_migration.errors import ObjectStoreError, TransientError
from fm_migration.retrying import is_transient, retry


def _failing(error: Exception, times: int) -> tuple[Callable[[], str], list[int]]:
    calls: list[int] = []

    def call() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "done"

    return call, calls


PASSING = TransientError("reading", "an object", "the server is busy", "Try again")
LASTING = ObjectStoreError("reading", "an object", "it is refused", "Grant s3:GetObject")


def test_what_passes_is_tried_again_until_it_has_passed() -> None:
    call, calls = _failing(PASSING, 2)
    assert retry(call, attempts=3, first_wait=0, longest_wait=0, jitter=0) == "done"
    assert len(calls) == 3


def test_the_last_attempt_raises_what_has_happened() -> None:
    call, calls = _failing(PASSING, 9)
    with pytest.raises(TransientError, match="the server is busy"):
        retry(call, attempts=3, first_wait=0, longest_wait=0, jitter=0)
    assert len(calls) == 3


def test_what_will_not_pass_is_not_tried_again() -> None:
    call, calls = _failing(LASTING, 9)
    with pytest.raises(ObjectStoreError, match="it is refused"):
        retry(call, attempts=3, first_wait=0, longest_wait=0, jitter=0)
    assert (len(calls), is_transient(LASTING), is_transient(OSError())) == (1, False, False)


def test_a_pause_that_the_other_side_asks_for_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    hooks = stamina.instrumentation.get_on_retry_hooks()
    stamina.instrumentation.set_on_retry_hooks([lambda details: pauses.append(details.wait_for)])
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    call, _ = _failing(PASSING, 1)
    try:
        retry(call, attempts=3, first_wait=9.0, longest_wait=9.0, on=lambda _error: 0.25)
    finally:
        stamina.instrumentation.set_on_retry_hooks(hooks)
    assert pauses == [0.25]
