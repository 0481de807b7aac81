"""The assets that link, in a run: in which order they are made, and what their checks say."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import dagster as dg

from fm_migration_tests.defs.ticking import Ticking

ORDER = ["patient_map", "patient_links", "link_plan", "image_batches"]


def _checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


def _figures(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(asset)
    return {name: entry.value for name, entry in event.metadata.items()}


def test_links_follow_before_photographs_are_planned(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for upstream, downstream in pairwise(ORDER):
        assert dg.AssetKey(upstream) in graph.get(dg.AssetKey(downstream)).parent_keys


def test_a_healing_makes_them_in_this_order_and_leaves_the_plan_nothing_to_do(imported: Ticking) -> None:
    imported.reimport()
    result = imported.run("heal_links")
    assert result.success
    made = [event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key]
    assert made == ORDER
    links = _figures(result, "patient_links")
    assert links["followed"] > 100
    assert links["links"] >= links["followed"] + links["ambiguous"] + links["absent"] + links["never_seen"]
    assert _figures(result, "link_plan")["changes"] == _figures(result, "image_batches")["rows_changed"] == 0
    assert _checks(result)["every_table_can_be_written"].passed
    assert _checks(result)["states_add_up"].passed


def test_a_full_plan_is_compared_with_the_ordinary_one_and_agrees(imported: Ticking) -> None:
    imported.reimport()
    assert imported.run("heal_links").success
    ordinary = imported.run("heal_links", assets=[dg.AssetKey("link_plan")])
    full = imported.run(
        "heal_links", assets=[dg.AssetKey("link_plan")], config={"ops": {"link_plan": {"config": {"full": True}}}}
    )
    for result, compared in ((ordinary, False), (full, True)):
        check = _checks(result)["full_plan_agrees"]
        assert check.passed
        assert check.metadata["compared"].value is compared
        assert check.metadata["photographs_that_differ"].value == 0


def test_a_full_plan_finds_what_the_ordinary_one_remembers_wrongly(imported: Ticking) -> None:
    """A state that somebody has spoilt in our own table is nothing that an ordinary plan looks at."""
    imported.execute(
        "update fm_migration.photo set state = 'no_object' where photo = "
        "(select photo from fm_migration.photo where state = 'linked' order by 1 limit 1)"
    )
    full = imported.run(
        "heal_links", assets=[dg.AssetKey("link_plan")], config={"ops": {"link_plan": {"config": {"full": True}}}}
    )
    check = _checks(full)["full_plan_agrees"]
    assert not check.passed
    assert check.metadata["photographs_that_differ"].value == 1
    spoilt = "select count(*) from fm_migration.photo where state = 'no_object' and clinic_image is not null"
    assert imported.ask(spoilt) == 0
