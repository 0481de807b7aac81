"""The second way to heal: for a person who materializes `patient_map` by hand in the UI.

Dagster's own conditions (`eager`, `data_version_changed`) are edge-triggered: a change that lands while the downstream
run is in progress is swallowed, and nothing happens until the next one. This condition is level-triggered: it asks at
every tick whether the asset was made from its inputs as they are now, which Dagster records as data versions.

The first way is the sensor (`sensors/healing.py`): it does not wait for anybody to materialize anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import dagster as dg

from fm_migration.defs._private import AssetKeyPartitionKey, CachingStaleStatusResolver, StaleStatus
from fm_migration.defs.limits import FIRST, LONG, SHORT

_GAVE_UP = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


class Stale(dg.AutomationCondition[dg.AssetKey]):
    """True while the asset was made from other versions of its inputs than they have now."""

    resolver: type[CachingStaleStatusResolver] = CachingStaleStatusResolver

    @property
    def name(self) -> str:
        return "made from older inputs"

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        view = context.asset_graph_view
        resolver = self.resolver(instance=view.instance, asset_graph=view.asset_graph, loading_context=view)
        stale = not context.candidate_subset.is_empty and resolver.get_status(context.key) == StaleStatus.STALE
        return dg.AutomationResult(context, context.candidate_subset if stale else context.get_empty_subset())


class _WholeInputs(CachingStaleStatusResolver):
    """Compares with the inputs that have no partitions, and asks nothing about the others."""

    def _get_partition_dependencies(self, *, key: AssetKeyPartitionKey) -> Sequence[AssetKeyPartitionKey]:
        graph = self.asset_graph
        parents = graph.get(key.asset_key).parent_keys
        return [AssetKeyPartitionKey(parent) for parent in parents if not graph.get(parent).is_partitioned]


class StaleApartFromMonths(Stale):
    """The same for an asset below partitioned ones, whose months come one by one and may take all night.

    Dagster itself would look at each month at every tick, and from a hundred months on at none.
    """

    resolver = _WholeInputs

    @property
    def name(self) -> str:
        return "made from older inputs, months left out"


class FailedWithTheseInputs(dg.AutomationCondition[dg.AssetKey]):
    """True when the last run that was to make the asset failed or was cancelled, and no input was made since.

    Dagster's own `execution_failed` stays true until somebody makes the asset by hand, also when a new `patient_map`
    has long removed the reason; and it does not count a run that a person has cancelled.
    """

    @property
    def name(self) -> str:
        return "failed with these inputs"

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        view = context.asset_graph_view
        inputs = view.asset_graph.get(context.key).parent_keys
        failed = not context.candidate_subset.is_empty and _failed_with(view.instance, context.key, inputs)
        return dg.AutomationResult(context, context.candidate_subset if failed else context.get_empty_subset())


def _failed_with(instance: dg.DagsterInstance, asset: dg.AssetKey, inputs: AbstractSet[dg.AssetKey]) -> bool:
    planned = instance.event_log_storage.get_latest_planned_materialization_info(asset)
    run = instance.get_run_by_id(planned.run_id) if planned else None
    if planned is None or run is None or run.status not in _GAVE_UP or _made_after(instance, asset, planned.storage_id):
        return False
    return not any(_made_after(instance, key, planned.storage_id, by_other_than=run.run_id) for key in inputs)


def _made_after(
    instance: dg.DagsterInstance, asset: dg.AssetKey, storage_id: int, by_other_than: str | None = None
) -> bool:
    records = instance.fetch_materializations(asset, limit=1).records
    return bool(records) and records[0].storage_id > storage_id and records[0].run_id != by_other_than


def when_stale() -> dg.AutomationCondition[dg.AssetKey]:
    """Re-materialize an asset that was made before and whose inputs have changed, with what hangs on it, in one run.

    One that was never made is a person's to start. A failed run is not repeated with the same inputs: the next try is
    the sensor's, with its pauses.
    """
    follows = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.will_be_requested())
    return _condition(due=Stale() | follows, in_vain=FailedWithTheseInputs() & ~follows)


def when_inputs_are_made(months: dg.AssetSelection) -> dg.AutomationCondition[dg.AssetKey]:
    """The same in a run of its own, once no input is stale itself.

    Inputs by month are left out of it: a month that is missing or on its way holds up nothing, and a new one requests
    nothing.
    """
    inputs_are_made = ~dg.AutomationCondition.any_deps_match(Stale())
    return _condition(StaleApartFromMonths() & inputs_are_made, FailedWithTheseInputs(), left_out=months)


def _condition(
    due: dg.AutomationCondition[dg.AssetKey],
    in_vain: dg.AutomationCondition[dg.AssetKey],
    left_out: dg.AssetSelection | None = None,
) -> dg.AutomationCondition[dg.AssetKey]:
    condition = dg.AutomationCondition
    whole = (
        due
        & ~in_vain
        & ~condition.missing()
        & ~condition.any_deps_missing()
        & ~condition.any_deps_in_progress()
        & ~condition.in_progress()
        & condition.all_deps_blocking_checks_passed()
    ).with_label("made from older inputs, or from what is about to be made anew")
    return whole if left_out is None else whole.ignore(left_out)


_REPORTS = dg.AssetSelection.assets("orphan_report")

automation = dg.AutomationConditionSensorDefinition(
    "automation",
    # With sources, because the plain selection of everything leaves them out.
    target=dg.AssetSelection.all(include_sources=True) - _REPORTS,
    use_user_code_server=True,
    minimum_interval_seconds=5,
    emit_backfills=False,
    # WRITES_LINKS of assets/clinic.py, which imports this module. The tags of an asset's step are not those of its run:
    # without them here, such a run would escape the limit of one. The others are as for the job heal_links.
    run_tags={"fm/writes": "links", **SHORT, **FIRST},
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Re-materializes what was made from older inputs, for people who materialize something by hand.",
)

# A sensor of its own, because the tags of runs are its: nothing that heals may wait for a report.
reports = dg.AutomationConditionSensorDefinition(
    "reports",
    target=_REPORTS,
    use_user_code_server=True,
    minimum_interval_seconds=10,
    emit_backfills=False,
    run_tags=LONG,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Makes a new report when the links, or what they were made from, have changed since the last one.",
)
