"""What an editor may change in a draft, and what of that is refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from sqlalchemy.orm import Session

from envoi.audience.strata import read_strata
from envoi.errors import Problem, ValidationFailedError, problems_of
from envoi.policies.models import Policy
from envoi.segments.models import Segment
from envoi.subscriptions.models import MailingCategory
from envoi.target_audiences.models import TargetAudience
from envoi.tenants.models import WatcherGroup

MAX_CONTROL_SHARE = 50
MAX_ATTRIBUTION_DAYS = 365
MAX_LIFETIME_MINUTES = 60 * 24 * 60
MAX_PER_MINUTE = 1_000_000
MAX_BUDGET = 10**13
"""A thousand million of the currency's unit."""
MINUTES_OF_DAY = 24 * 60

SOURCES = ("segment_id", "audience_id", "tree")
"""Who gets a mailing is one of these, or everybody where all are empty."""

_PARTS: dict[str, tuple[type[Any], str]] = {
    "segment_id": (Segment, "segment"),
    "audience_id": (TargetAudience, "target audience"),
    "control_audience_id": (TargetAudience, "target audience"),
    "policy_id": (Policy, "policy"),
    "category_id": (MailingCategory, "mailing category"),
    "watcher_group_id": (WatcherGroup, "watcher group"),
}


class ReceiptConditions(BaseModel):
    """What a receipt must be to be attributed; money in minor units, empty means anything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_items: int | None = Field(None, ge=0, le=1_000_000)
    min_amount: int | None = Field(None, ge=0, le=10**15)
    products: tuple[str, ...] = Field((), max_length=500)
    categories: tuple[str, ...] = Field((), max_length=500)


class MailingChanges(BaseModel):
    """What an editor may change in a draft; only the fields given are changed."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: str | None = Field(None, min_length=1, max_length=200)
    segment_id: int | None = None
    audience_id: int | None = None
    tree: dict[str, Any] | None = None
    policy_id: int | None = None
    category_id: int | None = None
    control_share: float | None = Field(None, ge=0, le=MAX_CONTROL_SHARE)
    control_audience_id: int | None = None
    strata: list[str] | None = None
    one_per_address: bool | None = None
    attribution_days: int | None = Field(None, ge=0, le=MAX_ATTRIBUTION_DAYS)
    attribution_from: date | None = None
    attribution_until: date | None = None
    attribution_conditions: dict[str, Any] | None = None
    lifetime_minutes: int | None = Field(None, ge=1, le=MAX_LIFETIME_MINUTES)
    limit_per_minute: int | None = Field(None, ge=1, le=MAX_PER_MINUTE)
    budget: int | None = Field(None, ge=1, le=MAX_BUDGET)
    window_from: int | None = Field(None, ge=0, lt=MINUTES_OF_DAY)
    window_until: int | None = Field(None, ge=0, lt=MINUTES_OF_DAY)
    window_zone: Literal["company", "customer"] | None = None
    utm: dict[str, str] | None = None
    watcher_group_id: int | None = None
    starts_at: datetime | None = None

    @field_validator("attribution_conditions")
    @classmethod
    def _conditions(cls, given: dict[str, Any] | None) -> dict[str, Any]:
        return ReceiptConditions.model_validate(given or {}).model_dump(
            mode="json", exclude_defaults=True
        )

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if (self.window_from is None) != (self.window_until is None):
            raise ValueError("A sending window has a beginning and an end. Enter both or none.")
        if self.window_from is not None and self.window_from == self.window_until:
            raise ValueError("The sending window is empty. Choose an end other than its beginning.")
        if (self.attribution_from is None) != (self.attribution_until is None):
            raise ValueError("The dates of attribution are two. Enter both or none.")
        if self.attribution_from and self.attribution_until:
            self._attribution_range(self.attribution_from, self.attribution_until)
        return self

    @staticmethod
    def _attribution_range(first: date, last: date) -> None:
        if last < first:
            raise ValueError("The attribution ends before it begins. Exchange the dates.")
        if (last - first).days >= MAX_ATTRIBUTION_DAYS:
            raise ValueError("The attribution is longer than a year. Choose nearer dates.")


def checked(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes as they are stored; raise `ValidationFailedError` with all problems."""
    try:
        given = MailingChanges.model_validate(dict(changes))
    except ValidationError as error:
        raise ValidationFailedError(problems_of(error)) from None
    read_strata(given.strata or ())
    return _one_source(given.model_dump(exclude_unset=True))


def require_parts(session: Session, tenant_id: int, given: Mapping[str, Any]) -> None:
    """Refuse what names a segment, an audience or a policy that is not there."""
    missing = [
        Problem(field, f"There is no such {what}. Choose another one.")
        for field, (model, what) in _PARTS.items()
        if given.get(field) and session.get(model, (tenant_id, given[field])) is None
    ]
    if missing:
        raise ValidationFailedError(missing)


def _one_source(given: dict[str, Any]) -> dict[str, Any]:
    """Let the last source given replace what the draft went to before."""
    named = [field for field in SOURCES if given.get(field) is not None]
    if not named:
        return given
    return given | dict.fromkeys(SOURCES) | {named[-1]: given[named[-1]]}
