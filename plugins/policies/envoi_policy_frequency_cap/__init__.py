"""A rule that limits how many messages a customer gets in a period."""

from __future__ import annotations

from collections.abc import Iterable

from envoi import hookimpl
from envoi.types import RuleKindSpec
from envoi_policy_frequency_cap.cap import REASONS, FrequencyCap, describe, needs, rule


@hookimpl
def register_rule_kinds() -> Iterable[RuleKindSpec]:
    """Bring the frequency cap."""
    return [
        RuleKindSpec(
            name="frequency_cap",
            label="Frequency cap",
            settings=FrequencyCap,
            needs=needs,
            rule=rule,
            reasons=REASONS,
            describe=describe,
            order=10,
        )
    ]
