"""The contract of rule kinds for communication policies."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import Date, DateTime, Integer, Text, column, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.visitors import iterate

from envoi.sql import CustomerColumns, MessageCount, RuleColumns
from envoi.testing.contract import SettingsContract
from envoi.types import Need, NeedRequest, Rule, RuleKindSpec

_FORBIDDEN = frozenset({"select", "table", "subquery", "exists", "alias", "cte", "scalar_select"})


class RuleKindContract(SettingsContract):
    """What the core relies on when it puts a policy's rules into one statement."""

    @pytest.fixture
    def spec(self) -> RuleKindSpec:
        """The rule kind under test."""
        self.missing("spec")

    def test_needs_are_bounded_and_stable(
        self, spec: RuleKindSpec, parsed: list[BaseModel]
    ) -> None:
        for settings in parsed:
            needs = list(spec.needs(settings))
            assert needs == list(spec.needs(settings))
            for need in needs:
                assert isinstance(need, NeedRequest)
                if need.need == Need.MESSAGE_COUNT:
                    assert need.window_hours
                    assert need.window_hours <= 366 * 24

    def test_rule_reads_only_what_it_asked_for(
        self, spec: RuleKindSpec, parsed: list[BaseModel]
    ) -> None:
        for settings in parsed:
            answer = spec.rule(settings, columns_for(spec.needs(settings)))
            assert isinstance(answer, Rule)
            assert answer.reason in spec.reasons
            assert answer.blocked is not None or answer.deferred_until is not None

    def test_rule_is_a_row_expression(self, spec: RuleKindSpec, parsed: list[BaseModel]) -> None:
        for settings in parsed:
            answer = spec.rule(settings, columns_for(spec.needs(settings)))
            for expression in (answer.blocked, answer.deferred_until):
                if expression is None:
                    continue
                visited = {part.__visit_name__ for part in iterate(expression)}
                assert not visited & _FORBIDDEN, "a rule names no table and opens no query"
                assert str(select(expression).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]

    def test_reasons_are_said_in_words(self, spec: RuleKindSpec) -> None:
        assert all(sentence.strip() for sentence in spec.reasons.values())


def columns_for(needs: Any) -> RuleColumns:
    """Fill in exactly what the needs ask for, with columns of no table."""
    asked = list(needs)
    kinds = {need.need for need in asked}
    moment = DateTime(timezone=True)
    return RuleColumns(
        now=column("now", moment),
        customer=CustomerColumns(
            id=column("id", Integer),
            gender=column("gender", Integer),
            birth_date=column("birth_date", Date),
            registered_on=column("registered_on", Date),
            city=column("city", Text),
        )
        if Need.CUSTOMER in kinds
        else None,
        counts={
            need: MessageCount(count=column("n", Integer), oldest_at=column("at", moment))
            for need in asked
            if need.need == Need.MESSAGE_COUNT
        },
        last_contact={
            need: column("last", moment) for need in asked if need.need == Need.LAST_CONTACT
        },
        local_minute=column("minute", Integer) if Need.ZONE_CLOCK in kinds else None,
        local_midnight=column("midnight", moment) if Need.ZONE_CLOCK in kinds else None,
    )
