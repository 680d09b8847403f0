"""General settings of a company: read as one document, checked whole, saved whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Self
from zoneinfo import available_timezones

from babel import Locale
from babel.numbers import list_currencies
from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.db import table
from envoi.errors import NO_TIME, Problem, ValidationFailedError, sentence_of
from envoi.tenants.models import TenantSettings, WatcherGroup
from envoi.tenants.service import tenant_settings

LANGUAGES = ("en", "ru")
MINUTES_OF_DAY = 24 * 60
UTM_NAMES = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")

APPROVAL_FROM = 50_000
"""Above so many recipients a mailing is large, where the company says nothing else."""

PAUSE_AFTER = 200
"""From so many accepted messages on the shares of bounces and complaints are looked at."""

_MOST_SENDERS = 50
_MOST_QUIET_DAYS = 400
_MOST_STOP_WORDS = 50


def _address(value: str) -> str:
    if not value:
        return value
    try:
        found = validate_email(value, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise ValueError(
            "This is no email address. Enter one like shop@example.com, or leave it empty."
        ) from None
    return f"{found.local_part}@{found.ascii_domain}"


def _one_line(value: str) -> str:
    if any(not character.isprintable() for character in value):
        raise ValueError("Line breaks and control characters cannot be used here.")
    return value


def _site(value: str) -> str:
    if value and not re.match(r"https?://[^\s/]+", value):
        raise ValueError("Enter the whole address, for example https://example.com.")
    return value


def _zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError("There is no such time zone. Choose one from the list.")
    return value


def _currency(value: str) -> str:
    if value not in list_currencies():
        raise ValueError("Enter the three letters of a currency, for example EUR.")
    return value


def _country(value: str) -> str:
    if value not in Locale("en").territories or not value.isalpha():
        raise ValueError("Enter the two letters of a country, for example DE.")
    return value


def _language(value: str) -> str:
    if value not in LANGUAGES:
        raise ValueError("Choose a language from the list.")
    return value


def _minute(value: Any) -> int:
    """A person reads and types this number as a time, so it is refused as one."""
    if not isinstance(value, int) or not 0 <= value < MINUTES_OF_DAY:
        raise ValueError(NO_TIME)
    return value


Line = Annotated[str, StringConstraints(max_length=300), AfterValidator(_one_line)]
Email = Annotated[Line, AfterValidator(_address)]
Minute = Annotated[int, BeforeValidator(_minute)]


class Sender(BaseModel):
    """A further sender that mailings can choose."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    name: Line = ""
    address: Email = Field(min_length=3)


class QuietDay(BaseModel):
    """A day on which no mailing should start, with its name for the calendar."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    date: date
    name: Line = ""


class General(BaseModel):
    """Everything on the page of general settings; money and names live elsewhere."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    time_zone: Annotated[str, AfterValidator(_zone)]
    currency: Annotated[str, AfterValidator(_currency)]
    locale: Annotated[str, AfterValidator(_language)]
    default_country: Annotated[str, AfterValidator(_country)]
    site: Annotated[Line, AfterValidator(_site)] = ""
    contact_name: Line = ""
    contact_phone: Line = ""
    contact_email: Email = ""
    postal_address: str = Field("", max_length=500)
    sender_name: Line = ""
    sender_address: Email = ""
    reply_to: Email = ""
    senders: tuple[Sender, ...] = Field((), max_length=_MOST_SENDERS)
    window_from: Minute | None = None
    window_until: Minute | None = None
    lifetime_minutes: int = Field(4320, ge=1, le=60 * 24 * 60)
    limit_per_minute: int | None = Field(None, ge=1, le=1_000_000)
    daily_limit: int | None = Field(None, ge=1, le=2_000_000_000)
    attribution_days: int = Field(14, ge=0, le=365)
    approval_from: int = Field(APPROVAL_FROM, ge=0, le=2_000_000_000)
    approval_always: bool = False
    undo_seconds: int | None = Field(None, ge=0, le=3600)
    utm: dict[str, Line] = Field(default_factory=dict)
    quiet_days: tuple[QuietDay, ...] = Field((), max_length=_MOST_QUIET_DAYS)
    watcher_group_id: int | None = None
    test_customer_id: int | None = None
    unconfirmed_resend: dict[str, bool] = Field(default_factory=dict)
    pause_bounce_share: float = Field(5.0, ge=0, le=100, allow_inf_nan=False)
    pause_complaint_share: float = Field(0.3, ge=0, le=100, allow_inf_nan=False)
    pause_after: int = Field(PAUSE_AFTER, ge=1, le=1_000_000)
    sender_names: dict[str, Line] = Field(default_factory=dict)
    stop_words: tuple[Line, ...] = Field((), max_length=_MOST_STOP_WORDS)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.window_from is None) != (self.window_until is None):
            raise ValueError("Enter both ends of the sending interval, or neither.")
        if self.window_from is not None and self.window_from == self.window_until:
            raise ValueError("The sending interval begins and ends at the same time.")
        return self


def general_of(settings: TenantSettings) -> General:
    """Return the stored settings; what an older version stored is not judged again."""
    return General.model_construct(
        **{name: getattr(settings, name) for name in General.model_fields}
    )


def save_general(session: Session, tenant_id: int, given: Mapping[str, Any]) -> General:
    """Check everything and store it.

    Raises:
        ValidationFailedError: With a problem for every wrong field; nothing is stored.
    """
    try:
        general = General.model_validate(dict(given))
    except ValidationError as error:
        raise ValidationFailedError(_problems(error)) from None
    problems = _unknown(session, tenant_id, general)
    if problems:
        raise ValidationFailedError(problems)
    settings = tenant_settings(session, tenant_id)
    for name, value in general.model_dump(mode="json").items():
        setattr(settings, name, value)
    return general


def find_test_customer(session: Session, tenant_id: int, external_id: str) -> int | None:
    """Find the customer that tests are rendered for; None where the id is unknown."""
    c = table(Customer).c
    query = select(c.id).where(c.tenant_id == tenant_id, c.external_id == external_id)
    found: int | None = session.scalar(query)
    return found


def _unknown(session: Session, tenant_id: int, general: General) -> list[Problem]:
    group = general.watcher_group_id
    if group is not None and session.get(WatcherGroup, (tenant_id, group)) is None:
        return [Problem("watcher_group_id", "There is no such group. Choose another one.")]
    unknown = set(general.utm) - set(UTM_NAMES)
    if unknown:
        return [Problem("utm", "Only the five UTM parameters can be set here.")]
    return []


def _problems(error: ValidationError) -> list[Problem]:
    """Name the field, of a list also the line that is wrong."""
    found = []
    for e in error.errors():
        field, *rest = e["loc"] or ("window_from",)
        message = sentence_of(e)
        if rest and isinstance(rest[0], int):
            message = f"Line {rest[0] + 1}: {message}"
        found.append(Problem(str(field), message))
    return found
