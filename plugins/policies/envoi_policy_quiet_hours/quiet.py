"""Quiet hours by the customer's own clock: messages wait until they end, or are dropped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time, timedelta
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from envoi.sql import RuleColumns, SqlCondition, and_, case, literal, or_
from envoi.types import Need, NeedRequest, Rule

REASON = "quiet_hours"
REASONS = {REASON: "It is the customer's quiet time."}


class InQuiet(StrEnum):
    """What becomes of a message that falls due in quiet hours."""

    DEFER = "defer"
    DROP = "drop"


class QuietHours(BaseModel):
    """No message from `begin` to `end` by the customer's clock; the hours may cross midnight."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    begin: time = Field(
        time(22), title="Quiet from", description="In the customer's own time zone."
    )
    end: time = Field(
        time(8), title="Quiet until", description="Earlier than the beginning: the next morning."
    )
    in_quiet: InQuiet = Field(
        InQuiet.DEFER,
        title="In quiet hours",
        description="Defer the message until they end, or drop it.",
    )

    @model_validator(mode="after")
    def _some_hours(self) -> Self:
        if _minute(self.begin) == _minute(self.end):
            raise ValueError("The quiet hours begin and end at the same time. Change one of them.")
        return self


def needs(_settings: QuietHours) -> Sequence[NeedRequest]:
    """Ask for the clock of the customer's zone."""
    return [NeedRequest(need=Need.ZONE_CLOCK)]


def rule(settings: QuietHours, columns: RuleColumns) -> Rule:
    """Hold a message back while it is quiet at the customer's."""
    assert columns.local_minute is not None
    assert columns.local_midnight is not None
    quiet = _quiet(settings, columns.local_minute)
    if settings.in_quiet is InQuiet.DROP:
        return Rule(reason=REASON, blocked=quiet)
    # On a day when the clock changes this is an hour early or late; who comes early waits again.
    end = columns.local_midnight + literal(timedelta(minutes=_minute(settings.end)))
    passed = columns.local_minute >= _minute(settings.end)
    until = case((passed, end + literal(timedelta(days=1))), else_=end)
    return Rule(reason=REASON, deferred_until=case((quiet, until)))


def describe(settings: QuietHours) -> str:
    """Say the hours in one sentence."""
    then = "wait until they end" if settings.in_quiet is InQuiet.DEFER else "are dropped"
    return (
        f"Quiet from {settings.begin:%H:%M} to {settings.end:%H:%M} by the customer's clock;"
        f" messages {then}"
    )


def _quiet(settings: QuietHours, minute: SqlCondition) -> SqlCondition:
    begin, end = _minute(settings.begin), _minute(settings.end)
    both = and_ if begin < end else or_
    return both(minute >= begin, minute < end)


def _minute(moment: time) -> int:
    return moment.hour * 60 + moment.minute
