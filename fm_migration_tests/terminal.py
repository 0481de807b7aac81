"""Programs started as from a terminal, whoever runs the tests."""

from __future__ import annotations

import signal


def listen_to_ctrl_c() -> None:
    """For `Popen(preexec_fn=...)`: what a shell starts in the background, and so the tests there, ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
