"""What limits a gateway: rates of its own and of domains, and what plugins allow it a day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from sqlalchemy.orm import Session

from envoi.delivery.buckets import DOMAIN_SLACK_SECONDS, Bucket
from envoi.delivery.gateways import get_gateway
from envoi.delivery.models import Gateway
from envoi.delivery.throttle import Rates
from envoi.errors import Problem, ValidationFailedError, problems_of
from envoi.plugins import Plugins, fence
from envoi.types import Allowance, GatewayState, LimitSpec

ALL_DOMAINS = ""
"""Stands in a day's caps for all domains together."""


class GatewayLimits(BaseModel):
    """The limits of a gateway; stored as `gateway.limits`.

    `domains` has messages a second by the recipients' domain, `plugins` the settings of limit
    plugins by the limit's name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    per_second: float | None = Field(None, gt=0, le=100_000)
    per_minute: float | None = Field(None, gt=0, le=6_000_000)
    domains: dict[str, float] = Field(default_factory=dict)
    plugins: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @field_validator("domains")
    @classmethod
    def _sensible(cls, value: dict[str, float]) -> dict[str, float]:
        cleaned = {name.strip().lower(): rate for name, rate in value.items()}
        for name, rate in cleaned.items():
            if "." not in name.strip(".") or " " in name or "@" in name:
                raise ValueError(f"{name} is no domain. Write one such as gmail.com.")
            if not 0 < rate <= 100_000:
                raise ValueError(f"The rate of {name} must be above 0, at most 100,000 a second.")
        return cleaned

    @property
    def rate(self) -> float | None:
        """Messages a second through the gateway; a limit per minute is spread evenly."""
        by_minute = self.per_minute / 60 if self.per_minute else None
        return min((r for r in (self.per_second, by_minute) if r), default=None)


@dataclass(frozen=True)
class Cap:
    """How many messages may leave on a day, and the label of the limit that says so."""

    count: int
    label: str


@dataclass(frozen=True)
class BoundLimit:
    """A limit plugin together with a gateway's settings of it."""

    spec: LimitSpec
    settings: BaseModel


def limits_of(gateway: Gateway) -> GatewayLimits:
    """Return the limits of a gateway."""
    return GatewayLimits.model_validate(gateway.limits)


def set_limits(
    session: Session, plugins: Plugins, tenant_id: int, gateway_id: int, values: Mapping[str, Any]
) -> None:
    """Replace the limits of a gateway; senders take them on with their next block.

    Raises:
        ValidationFailedError: A value does not suit; every problem is named.
    """
    gateway = get_gateway(session, tenant_id, gateway_id)
    try:
        limits = GatewayLimits.model_validate(dict(values))
    except ValidationError as error:
        raise ValidationFailedError(problems_of(error)) from None
    own = plugins.for_tenant(session, tenant_id)
    checked = {name: _checked(own, name, given) for name, given in limits.plugins.items()}
    gateway.limits = limits.model_copy(update={"plugins": checked}).model_dump(
        mode="json", exclude_defaults=True
    )
    gateway.version += 1


def bound_limits(plugins: Plugins, limits: GatewayLimits) -> tuple[BoundLimit, ...]:
    """Return the limit plugins that act on a gateway; one that was switched off does not."""
    return tuple(
        BoundLimit(spec, spec.settings.model_validate(limits.plugins[name]))
        for name, spec in plugins.limits.items()
        if name in limits.plugins
    )


def allowances(
    plugins: Plugins, bound: tuple[BoundLimit, ...], state: GatewayState
) -> list[tuple[str, Allowance]]:
    """Ask every limit plugin about a day; return the labels with the answers."""
    found = []
    for limit in bound:
        ask = partial(limit.spec.allowance, limit.settings, state)
        answer: Allowance | None = fence(plugins, "limit", limit.spec.name, ask)
        if answer is not None:
            found.append((limit.spec.label, answer))
    return found


def caps_of(answers: list[tuple[str, Allowance]]) -> dict[str, Cap]:
    """Return the lowest number of messages for each domain, and for all together."""
    caps: dict[str, Cap] = {}
    for label, answer in answers:
        counts = dict(answer.domains_per_day)
        if answer.per_day is not None:
            counts[ALL_DOMAINS] = answer.per_day
        for domain, count in counts.items():
            if domain not in caps or count < caps[domain].count:
                caps[domain] = Cap(count, label)
    return caps


def rates_of(
    gateway: Gateway,
    everywhere: Mapping[str, float],
    answers: list[tuple[str, Allowance]],
) -> Rates:
    """Put the rates together: the gateway's own, its plugins', and the installation's domains."""
    limits = limits_of(gateway)
    name = f"gateway:{gateway.tenant_id}:{gateway.id}"
    plugins = [answer.per_second for _, answer in answers if answer.per_second]
    rate = min((r for r in (limits.rate, *plugins) if r), default=None)
    domains: dict[str, list[Bucket]] = {}
    for prefix, found in ((name, limits.domains), ("everywhere", everywhere)):
        for domain, per_second in found.items():
            bucket = Bucket(f"{prefix}:{domain}", per_second, DOMAIN_SLACK_SECONDS)
            domains.setdefault(domain.lower(), []).append(bucket)
    return Rates(Bucket(name, rate) if rate else None, domains)


def _checked(plugins: Plugins, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    spec = plugins.limits.get(name)
    if spec is None:
        problem = f"No enabled plugin brings the limit {name}. Enable one in Settings, Plugins."
        raise ValidationFailedError([Problem(f"plugins.{name}", problem)])
    try:
        settings = spec.settings.model_validate(dict(values))
    except ValidationError as error:
        raise ValidationFailedError(problems_of(error, "plugins", name)) from None
    return settings.model_dump(mode="json")
