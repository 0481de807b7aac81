"""What `certify` and `verify` print."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from fm_migration.certificate import issuing, verifying
from fm_migration.certificate.issuing import Certificate
from fm_migration.places import Places

OnProgress = Callable[[str, int, int], None]

_UNREAD = {
    "never": "nobody has read them yet",
    "gone": "they were gone when they were to be read",
    "changed": "they are other ones than were listed",
    "refused": "the store would not hand them out",
}


def certify(places: Places, console: Console, output: Path | None, read_all: bool, on_progress: OnProgress) -> None:
    """Write a certificate and say what is in it, and what is not."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = output or places.settings.home / "certificates" / f"certificate-{stamp}.jsonl"
    made = issuing.certify(
        places.engine, places.settings, path, places.store if read_all else None, on_progress=on_progress
    )
    _say(console, f"written {made.path}")
    _describe(console, made)
    _say(console, f"SHA-256 of the file: {made.sha256}")
    _say(console, "Keep this hash where the file is not; `fm-migration verify FILE --sha256 HASH` compares it.")


def verify(
    places: Callable[[], Places],
    console: Console,
    path: Path,
    read_all: bool,
    file_only: bool,
    sha256: str | None,
    on_progress: OnProgress,
) -> bool:
    """Check a certificate and say every difference; True when there is none."""
    read = issuing.check_file(path)
    if sha256 is not None and read.sha256 != sha256.strip().lower():
        _say(console, f"{path} is a whole certificate, but not the one with that hash", style="bold red")
        return False
    _say(console, f"{path} is as it was written on {read.head['made_at']}")
    _describe(console, read)
    if file_only:
        return True
    here = places()
    compared, found = verifying.Compared(), 0
    for difference in verifying.differences(
        read, here.engine, here.settings, here.store, compared, read_all=read_all, on_progress=on_progress
    ):
        found += 1
        _say(console, str(difference))
    _conclude(console, compared, found, read_all)
    return not found


def _conclude(console: Console, compared: verifying.Compared, found: int, read_all: bool) -> None:
    _say(
        console, f"compared: {compared.originals:,} originals with the bucket, {compared.images:,} images with the app"
    )
    if read_all:
        _say(console, f"read again: {compared.read_again:,} originals have the same bytes")
    if compared.new_objects:
        _say(console, f"new since then: {compared.new_objects:,} originals, which no certificate can know")
    for what in compared.left_out:
        _say(console, f"not compared: {what}", style="yellow")
    if found:
        _say(console, f"{found:,} differences", style="bold red")
    else:
        _say(console, "No difference.", style="bold green")


def _describe(console: Console, made: Certificate) -> None:
    rows = made.head["rows"]
    states = ", ".join(f"{count:,} {state}" for state, count in rows["states"].items())
    _say(console, f"rows: {rows['read']:,} read = {states or 'none'}")
    _say(
        console,
        f"originals: {made.originals:,} with {made.bytes:,} bytes; "
        f"SHA-256 of {made.read:,} of them, which have {made.bytes_read:,} bytes",
    )
    for why, count in made.unread.items():
        _say(console, f"without SHA-256: {count:,}, because {_UNREAD[why]}", style="yellow")
    if "never" in made.unread:
        _say(console, "`fm-migration certify --read-all` reads them all.")
    if made.waivers:
        _say(console, f"waivers: {made.waivers:,}")
    _say(console, f"Merkle root: {made.merkle_root}")


def _say(console: Console, text: str, style: str | None = None) -> None:
    # Whole lines, so that they can be searched and copied.
    console.print(text, style=style, markup=False, soft_wrap=True)
