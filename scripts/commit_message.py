"""Refuses a commit message without a short subject or without a reason. Git calls it as the hook commit-msg.

Once, 82 of 97 commits said what had changed, which the difference shows anyway, and not why, which nothing shows.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

LONGEST_SUBJECT = 72
#: Everything behind this line is the difference that `git commit --verbose` shows.
SCISSORS = "# ------------------------ >8 ------------------------"
#: Git's own: they become part of another commit, or say themselves what they are.
BY_GIT = ("fixup! ", "squash! ", "amend! ", "Merge ", "Revert ")
TRAILERS = ("Signed-off-by:", "Co-authored-by:", "Reviewed-by:", "Change-Id:")


def complaints(message: str) -> Iterator[str]:
    """What is wrong with a message; nothing if it is as it should be."""
    kept = message.partition(SCISSORS)[0].splitlines()
    lines = [line.rstrip() for line in kept if not line.startswith("#")]
    while lines and not lines[0]:
        lines.pop(0)
    subject = lines[0] if lines else ""
    if subject.startswith(BY_GIT):
        return
    if not subject:
        yield "it has no subject"
        return
    if len(subject) > LONGEST_SUBJECT:
        yield f"the subject has {len(subject)} characters; at most {LONGEST_SUBJECT} are shown in a list"
    if len(lines) > 1 and lines[1]:
        yield "the second line is not empty, so git takes it for a part of the subject"
    if not any(line and not line.startswith(TRAILERS) for line in lines[1:]):
        yield "it has no body: say why, what else was tried, and what was measured"


def main(path: str) -> int:
    found = list(complaints(Path(path).read_text(encoding="utf-8")))
    for complaint in found:
        sys.stderr.write(f"commit message: {complaint}\n")
    if found:
        sys.stderr.write(f"CONTRIBUTING.md, Commits, says more. Your message is kept in {path}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
