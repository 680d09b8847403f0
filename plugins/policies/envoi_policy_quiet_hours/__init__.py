"""A rule that keeps messages out of the hours in which a customer wants quiet."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import RuleKindSpec
from envoi_policy_quiet_hours.quiet import REASONS, QuietHours, describe, needs, rule


@hookimpl
def register_rule_kinds() -> Iterable[RuleKindSpec]:
    """Bring quiet hours."""
    return [
        RuleKindSpec(
            name="quiet_hours",
            label="Quiet hours",
            settings=QuietHours,
            needs=needs,
            rule=rule,
            reasons=REASONS,
            describe=describe,
            order=20,
        )
    ]
