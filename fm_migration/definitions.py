"""The code location `fm_migration.definitions`: everything in `defs/`, under the policies that hold for all of it."""

from __future__ import annotations

import warnings

import dagster as dg

# Observable source assets and a few parameters are marked beta in 1.13, and the loader below preview (the finished
# one, `load_from_defs_folder`, wants pyproject.toml beside the package, where an installed wheel has none). Dagster is
# pinned to one release and both are covered by tests; a warning at every start of every run worker would hide others.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)


@dg.definitions
def defs() -> dg.Definitions:
    from fm_migration import defs as folder
    from fm_migration.defs.catalogue import linked_to_code
    from fm_migration.defs.resources import RESOURCES
    from fm_migration.settings import settings

    loaded = dg.load_definitions_from_package_module(
        folder,
        resources=RESOURCES,
        # Steps are short or bring their own workers: a process of its own would cost each two to four seconds.
        executor=dg.in_process_executor,
    )
    return linked_to_code(loaded, settings().code_url)
