"""The second way to heal: for a person who materializes `patient_map` by hand in the UI.

Dagster's own conditions (`eager`, `data_version_changed`) are edge-triggered: a change that lands while the downstream
run is on its way is swallowed, and nothing happens until the next one. This condition is level-triggered: it asks at
every tick whether the asset was made from its inputs as they are now, which Dagster records as data versions.

The first way is the sensor (`sensors.py`): it does not wait for anybody to materialize anything.
"""

from __future__ import annotations

import dagster as dg

# Private in 1.13.27, to which Dagster is pinned; fm_migration_tests/defs/test_automation.py would notice a change.
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus


class Stale(dg.AutomationCondition[dg.AssetKey]):
    """True while the asset was made from other versions of its inputs than they have now."""

    @property
    def name(self) -> str:
        return "stale"

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        view = context.asset_graph_view
        resolver = CachingStaleStatusResolver(
            instance=view.instance, asset_graph=view.asset_graph, loading_context=view
        )
        stale = not context.candidate_subset.is_empty and resolver.get_status(context.key) == StaleStatus.STALE
        return dg.AutomationResult(context, context.candidate_subset if stale else context.get_empty_subset())


def when_stale() -> dg.AutomationCondition[dg.AssetKey]:
    """Re-materialize an asset that was made before and whose inputs have changed, once they stand still.

    One that was never made is a person's to start. After a failed run the next try is the sensor's, with its pauses.
    """
    condition = dg.AutomationCondition
    return (
        Stale()
        & ~condition.missing()
        & ~condition.any_deps_missing()
        & ~condition.any_deps_in_progress()
        & ~condition.in_progress()
        & ~condition.execution_failed()
        & condition.all_deps_blocking_checks_passed()
    ).with_label("made from older inputs")


automation = dg.AutomationConditionSensorDefinition(
    "automation",
    # With sources, because the plain selection of everything leaves them out.
    target=dg.AssetSelection.all(include_sources=True),
    use_user_code_server=True,
    minimum_interval_seconds=5,
    emit_backfills=False,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Re-materializes what was made from older inputs, for people who materialize something by hand.",
)
