"""The ramp: so many messages on the first day, on each further day so many times more."""

from __future__ import annotations

from datetime import date, timedelta
from math import exp, log

from pydantic import BaseModel, ConfigDict, Field, field_validator

from envoi.types import Allowance, GatewayState

MOST = 2**31 - 1
_ENOUGH = log(MOST)
"""The growth after which every first day has become the most."""


class WarmUp(BaseModel):
    """A warm-up from `start` for so many days; afterwards nothing is limited."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: date = Field(
        title="First day",
        description="By the company's calendar. Before it nothing leaves through this gateway.",
    )
    first_day: int = Field(
        400,
        ge=1,
        le=1_000_000,
        title="Messages on the first day",
        description="To all domains together.",
    )
    growth: float = Field(
        1.5,
        ge=1,
        le=10,
        title="Growth",
        description="Each day so many times the messages of the day before.",
    )
    days: int = Field(
        21, ge=1, le=365, title="Days", description="After them nothing is limited any more."
    )
    only_days_used: bool = Field(
        default=False,
        title="Count only days on which messages left",
        description="An idle day is then no step of the ramp.",
    )
    domains: dict[str, int] = Field(
        default_factory=dict,
        title="First day of some domains",
        description="One domain a line with its messages on the first day, such as gmail.com 50."
        " They grow alike.",
    )

    @field_validator("domains")
    @classmethod
    def _sensible(cls, value: dict[str, int]) -> dict[str, int]:
        cleaned = {name.strip().lower(): count for name, count in value.items()}
        if any(not 1 <= count <= 1_000_000 for count in cleaned.values()):
            raise ValueError("A domain's first day has 1 to 1,000,000 messages.")
        if any("." not in name or name != name.strip(".") for name in cleaned):
            raise ValueError("Write a domain such as gmail.com.")
        return cleaned


def allowance(settings: WarmUp, state: GatewayState) -> Allowance | None:
    """Return what the ramp allows on a day; nothing before it begins, anything after it."""
    if state.day < settings.start:
        return Allowance(per_day=0)
    passed = (state.day - settings.start).days
    step = state.days_used if settings.only_days_used else passed
    if step >= settings.days:
        return None
    factor = exp(min(step * log(settings.growth), _ENOUGH))
    return Allowance(
        per_day=_grown(settings.first_day, factor),
        domains_per_day={name: _grown(count, factor) for name, count in settings.domains.items()},
    )


def describe(settings: WarmUp) -> str:
    """Say the ramp in one sentence."""
    end = settings.start + timedelta(days=settings.days)
    until = "" if settings.only_days_used else f", until {end:%d.%m.%Y}"
    return (
        f"{settings.first_day:,} messages on {settings.start:%d.%m.%Y}, each day"
        f" {settings.growth:g} times as many{until}"
    )


def _grown(first: int, factor: float) -> int:
    return int(min(round(first * factor, 6), MOST))
