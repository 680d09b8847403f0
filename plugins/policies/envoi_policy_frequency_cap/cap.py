"""The cap: at most so many messages in a rolling period, counted by channel and category."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from envoi.sql import RuleColumns, case, literal
from envoi.types import Need, NeedRequest, Rule

REASON = "frequency_cap"
REASONS = {REASON: "The customer has already got as many messages as the policy allows."}

_YEAR = 366 * 24


class Unit(StrEnum):
    """The unit of a period; a month is 30 days, because the window rolls."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class OverLimit(StrEnum):
    """What becomes of a message over the cap."""

    DROP = "drop"
    DEFER = "defer"


_HOURS = {Unit.HOUR: 1, Unit.DAY: 24, Unit.WEEK: 7 * 24, Unit.MONTH: 30 * 24}


class FrequencyCap(BaseModel):
    """At most `most` messages in the last `period` units."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    most: int = Field(
        1,
        ge=0,
        le=10_000,
        title="Messages at most",
        description="Counted with the message that is to be sent. 0 sends nothing.",
    )
    period: int = Field(1, ge=1, le=1000, title="In a period of")
    unit: Unit = Field(Unit.WEEK, title="Unit", description="The period rolls; a month is 30 days.")
    channels: tuple[str, ...] = Field(
        (), title="Channels", description="Messages of these channels count. None chosen: all."
    )
    categories: tuple[int, ...] = Field(
        (), title="Mailing categories", description="Only these count. None chosen: all."
    )
    over_limit: OverLimit = Field(
        OverLimit.DROP,
        title="Over the limit",
        description="Drop the message, or defer it until the cap allows it.",
    )

    @property
    def hours(self) -> int:
        """The length of the window."""
        return self.period * _HOURS[self.unit]

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.hours > _YEAR:
            raise ValueError("The period can be a year at most. Choose a shorter one.")
        if self.most == 0 and self.over_limit is OverLimit.DEFER:
            raise ValueError("A cap of 0 never allows a message again, so it cannot defer one.")
        return self


def needs(settings: FrequencyCap) -> Sequence[NeedRequest]:
    """Ask for the messages in the window."""
    return [_need(settings)]


def rule(settings: FrequencyCap, columns: RuleColumns) -> Rule:
    """Hold a message back when the window is full."""
    found = columns.counts[_need(settings)]
    over = found.count >= settings.most
    if settings.over_limit is OverLimit.DROP:
        return Rule(reason=REASON, blocked=over)
    # When several are over, the oldest leaves first and the check runs again then.
    allowed_at = found.oldest_at + literal(timedelta(hours=settings.hours))
    return Rule(reason=REASON, deferred_until=case((over, allowed_at)))


def describe(settings: FrequencyCap) -> str:
    """Say the cap in one sentence."""
    then = "dropped" if settings.over_limit is OverLimit.DROP else "deferred"
    return f"At most {_messages(settings)} in any {_period(settings)}; more are {then}"


def _messages(settings: FrequencyCap) -> str:
    """Whole pieces, so that they can be translated."""
    count, channels = settings.most, ", ".join(settings.channels)
    one = {
        (False, False): "1 message",
        (True, False): f"1 message by {channels}",
        (False, True): "1 message of certain categories",
        (True, True): f"1 message by {channels} of certain categories",
    }
    many = {
        (False, False): f"{count} messages",
        (True, False): f"{count} messages by {channels}",
        (False, True): f"{count} messages of certain categories",
        (True, True): f"{count} messages by {channels} of certain categories",
    }
    return (one if count == 1 else many)[bool(channels), bool(settings.categories)]


def _period(settings: FrequencyCap) -> str:
    count = settings.period
    many = {
        "hour": f"{count} hours",
        "day": f"{count} days",
        "week": f"{count} weeks",
        "month": f"{count} months",
    }
    return settings.unit.value if count == 1 else many[settings.unit.value]


def _need(settings: FrequencyCap) -> NeedRequest:
    return NeedRequest(
        need=Need.MESSAGE_COUNT,
        window_hours=settings.hours,
        channels=settings.channels,
        categories=settings.categories,
    )
