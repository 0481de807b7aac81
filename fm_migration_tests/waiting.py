"""How long tests wait: long for what must happen, short for the end of what they have started.

A machine may be busy with other work, and then everything takes several times as long. What does happen is not
waited for any longer, so a long time-out costs time only where the test fails anyway.
"""

from __future__ import annotations

#: Until what must happen counts as not happening.
PATIENCE_SECONDS = 240.0
#: From the signal that asks a process to end to the one that ends it; its end decides nothing (`processes.end_child`).
STOP_SECONDS = 10.0
