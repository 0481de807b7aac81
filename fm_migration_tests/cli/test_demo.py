"""The README's first command, from nothing to the report, with servers of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
VISIBLE = re.compile(r"^ +([\d,]+) images are visible", re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["0.05", pytest.param("1.0", marks=pytest.mark.long)])
def test_the_demonstration_ends_well_and_shows_every_image_again(tmp_path: Path, size: str) -> None:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("FM_", "DAGSTER_"))}
    result = subprocess.run(
        [str(Path(sys.executable).parent / "fm-migration"), "demo"],
        cwd=PROJECT,
        env={
            **ours,
            "FM_HOME": str(tmp_path / "home"),
            "FM_SAMPLE_SIZE": size,
            "FM_EMBEDDED_LINGER_SECONDS": "1",
            "COLUMNS": "120",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Everything went well." in result.stdout
    imported = re.search(r"image_batches: .*?([\d,]+) are now", result.stdout)
    assert imported
    during, after = VISIBLE.findall(result.stdout)
    # A few people are in the app alone, and no re-import concerns them.
    assert int(during) < 10
    assert after == imported[1]
    for source in ("filemaker_export", "bulk_dump", "patients"):
        assert re.search(rf"^ {source} +\S+ +\S.*$", result.stdout, flags=re.MULTILINE)
    page = re.search(r"The page: (.+)", result.stdout)
    assert page
    assert Path(page[1]).is_file()
