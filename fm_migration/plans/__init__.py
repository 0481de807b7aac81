"""The life of a plan, whatever it is about: opened, finished, approved, applied, recorded, undone, pruned.

    rules       what a domain may do to a table, as it says so
    kinds       the register of kinds of plans
    locks       who may write, one at a time
    life        the plan itself, from its first row to its last
    written     what we last wrote into a row
    applying    planned changes put into the tables
    recording   changes that are journalled as they are made
    inverse     a plan taken back, by the inverse plan
    pruning     what nobody will ask for any more

Knows tables by the rules that domains register, and no domain. Every change of the clinic's tables goes through here.
"""

from fm_migration.plans.applying import Applied, apply
from fm_migration.plans.inverse import Undone, begin_undo, undo
from fm_migration.plans.kinds import PlanKind, PlanRow, register
from fm_migration.plans.life import (
    ApprovalNeededError,
    FinishedPlan,
    Listed,
    StalePlanError,
    find_plan,
    finish_applied,
    finish_plan,
    forget_plan,
    list_plans,
    open_plan,
    refuse_used,
)
from fm_migration.plans.pruning import Pruned, prune
from fm_migration.plans.recording import apply_and_record, record_outcome, record_reversed
from fm_migration.plans.rules import Guards, TableRules

__all__ = [
    "Applied",
    "ApprovalNeededError",
    "FinishedPlan",
    "Guards",
    "Listed",
    "PlanKind",
    "PlanRow",
    "Pruned",
    "StalePlanError",
    "TableRules",
    "Undone",
    "apply",
    "apply_and_record",
    "begin_undo",
    "find_plan",
    "finish_applied",
    "finish_plan",
    "forget_plan",
    "list_plans",
    "open_plan",
    "prune",
    "record_outcome",
    "record_reversed",
    "refuse_used",
    "register",
    "undo",
]
