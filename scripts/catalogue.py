"""Writes docs/catalogue.md from the assets, checks and jobs themselves: `python scripts/catalogue.py`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "catalogue.md"

HEAD = """\
# Catalogue

What the Dagster UI shows of every asset, check and job. This page is written by `python scripts/catalogue.py`.

Every asset says after each run in a sentence what it has read and changed (`summary`), and reports its table, columns,
rows, where each column comes from, and the figures below. Their names stay as they are: the UI plots them over the
runs, and whoever watches them from outside asks for them by name. None of it holds patient data.
"""
#: The order in which data flows.
GROUPS = ("source", "intake", "staging", "clinic", "assurance")


def page() -> str:
    """The whole page."""
    from fm_migration.definitions import defs

    definitions = defs()
    graph = definitions.resolve_asset_graph()
    checks: dict[str, list[Any]] = {}
    for key in graph.asset_check_keys:
        checks.setdefault(key.asset_key.to_user_string(), []).append(graph.get(key))
    lines = [HEAD]
    for group in GROUPS:
        lines.append(f"## Group `{group}`\n")
        keys = [key for key in graph.toposorted_asset_keys if graph.get(key).group_name == group]
        for key in keys:
            lines += _asset(graph.get(key), checks.get(key.to_user_string(), []))
    lines.append("## Jobs\n")
    for job in sorted(definitions.resolve_all_job_defs(), key=lambda job: job.name):
        if not job.name.startswith("__"):
            lines += _job(job)
    return "\n".join(lines)


def _asset(node: Any, checks: list[Any]) -> Iterator[str]:
    from fm_migration.defs.figures import FIGURES

    name = node.key.to_user_string()
    yield f"### {name}\n"
    yield f"{node.description}\n"
    if checks:
        yield "| check | what it checks, and what to do if it fails |\n|---|---|"
        for check in sorted(checks, key=lambda check: (not check.blocking, check.key.name)):
            yield f"| `{check.key.name}`{' (stops the run)' if check.blocking else ''} | {check.description} |"
        yield ""
    yield "| figure | counts |\n|---|---|"
    yield from (f"| `{figure}` | {meaning} |" for figure, meaning in FIGURES[name].items())
    yield ""


def _job(job: Any) -> Iterator[str]:
    yield f"### {job.name}\n"
    yield f"{job.description}\n"
    fields = list(config_fields(job))
    if fields:
        yield "| of | config | type | default | meaning |\n|---|---|---|---|---|"
        for op, name, field in fields:
            default = "" if field.is_required else f"`{as_yaml(field.default_value)}`"
            yield f"| {op} | `{name}` | {type_of(field)} | {default} | {field.description} |"
        yield ""


def config_fields(job: Any) -> Iterator[tuple[str, str, Any]]:
    """Every field that a person may set in the launchpad: of which op, its name, and Dagster's description of it."""
    for op in sorted(job.nodes, key=lambda node: node.name):
        fields = getattr(op.definition.config_schema.config_type, "fields", {})
        yield from ((op.name, name, field) for name, field in fields.items())


def type_of(field: Any) -> str:
    """A type as people call it."""
    names = {"Int": "whole number", "Bool": "true or false", "String": "text", "Float": "number"}
    *around, core = str(field.config_type.key).split(".")
    name = names.get(core.removesuffix("SourceType"), core)
    return f"list of {name}" if "Array" in around else name


def as_yaml(value: object) -> str:
    """A default as one writes it in the launchpad."""
    return json.dumps(value)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(f"wrote {PAGE}", file=sys.stderr)  # noqa: T201
