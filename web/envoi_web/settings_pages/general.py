"""General settings of the company."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from zoneinfo import available_timezones

from babel import Locale
from babel.numbers import list_currencies
from flask import Response, request, url_for
from flask_babel import get_locale
from flask_babel import gettext as _
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from envoi.customers.models import Customer
from envoi.errors import Problem, ValidationFailedError
from envoi.mailings.variants import validate_content
from envoi.tenants.general import (
    APPROVAL_FROM,
    PAUSE_AFTER,
    UTM_NAMES,
    General,
    find_test_customer,
    general_of,
    save_general,
)
from envoi.tenants.service import tenant_settings
from envoi.tenants.watchers import list_watcher_groups
from envoi.webkit import current, page, permission, see_other, toast
from envoi.webkit.formats import translated
from envoi_web.clocks import clock_of, minute_of
from envoi_web.settings_pages.blueprint import settings

Form = MultiDict[str, str]

LIFETIME_UNITS = {"minutes": 1, "hours": 60, "days": 24 * 60}
_TEXTS = (
    *("time_zone", "currency", "locale", "default_country", "site", "contact_name"),
    *("contact_phone", "contact_email", "postal_address", "sender_name", "sender_address"),
    "reply_to",
)
_OTHERS = (
    *("lifetime", "lifetime_unit", "window_from", "window_until", "senders", "quiet_days"),
    *("watcher_group_id", "test_customer", "approval_always", "stop_words"),
)
_NUMBERS = (
    *("attribution_days", "limit_per_minute", "daily_limit", "undo_seconds"),
    *("approval_from", "pause_after"),
)
_SENDER = "sender_of_"
_SHARES = ("pause_bounce_share", "pause_complaint_share")


@settings.get("/general")
@permission("settings.general")
def general() -> Response:
    """Show the company's settings."""
    with current.session() as session:
        stored = general_of(tenant_settings(session, current.tenant_id))
        return _page(session, _shown(session, stored))


@settings.post("/general")
@permission("settings.general")
def save_general_settings() -> Response:
    """Save all of them, or say at each field what is wrong."""
    with current.session() as session:
        try:
            given = _given(session, request.form)
            problems = [*_not_found(session, request.form), *_bad_senders(given["sender_names"])]
            if problems:
                raise ValidationFailedError(problems)
            save_general(session, current.tenant_id, given)
        except ValidationFailedError as error:
            return _page(session, _typed(request.form), error.problems)
    toast(_("Settings saved."))
    return see_other(url_for("settings.general"))


def _typed(form: Form) -> dict[str, Any]:
    """What was typed, as the form shows it again; a field that is missing is empty."""
    senders = [f"{_SENDER}{name}" for name in _sending_channels()]
    names = (*_TEXTS, *_NUMBERS, *_SHARES, *_OTHERS, *UTM_NAMES, *senders)
    return {
        **{name: form.get(name, "") for name in names},
        "unconfirmed_resend": form.getlist("unconfirmed_resend"),
    }


def _given(session: Session, form: Form) -> dict[str, Any]:
    """Read the form; what is empty is unset, what cannot be read is left for the check."""
    given: dict[str, Any] = {name: form.get(name, "").replace("\r\n", "\n") for name in _TEXTS}
    for name in _NUMBERS:
        given[name] = form.get(name, "").strip() or None
    for name in _SHARES:
        given[name] = form.get(name, "").strip().replace(",", ".") or 0
    unit = LIFETIME_UNITS.get(form.get("lifetime_unit", ""), 60)
    lifetime = form.get("lifetime", 0, type=int)
    return given | {
        "attribution_days": given["attribution_days"] or 0,
        "approval_from": given["approval_from"] or APPROVAL_FROM,
        "pause_after": given["pause_after"] or PAUSE_AFTER,
        "lifetime_minutes": lifetime * unit,
        "window_from": _minute(form.get("window_from", "")),
        "window_until": _minute(form.get("window_until", "")),
        "senders": [_sender(line) for line in _lines(form, "senders")],
        "quiet_days": [_quiet_day(line) for line in _lines(form, "quiet_days")],
        "utm": {name: form[name].strip() for name in UTM_NAMES if form.get(name, "").strip()},
        "watcher_group_id": form.get("watcher_group_id", None, type=int),
        "test_customer_id": _test_customer(session, form),
        "unconfirmed_resend": _by_channel(form.getlist("unconfirmed_resend")),
        "approval_always": form.get("approval_always") == "1",
        "stop_words": _lines(form, "stop_words"),
        "sender_names": {
            name: sender
            for name in _sending_channels()
            if (sender := form.get(f"{_SENDER}{name}", "").strip())
        },
    }


def _not_found(session: Session, form: Form) -> list[Problem]:
    wanted = form.get("test_customer", "").strip()
    if wanted and _test_customer(session, form) is None:
        return [Problem("test_customer", _("No customer has this id. Enter another one."))]
    return []


def _sending_channels() -> dict[str, str]:
    """The channels whose senders have a name alone, with what they are called."""
    return {
        name: translated(spec.label)
        for name, spec in current.plugins.channels.items()
        if "sender_name" in (fields := spec.content_schema.model_fields)
        and "sender_address" not in fields
    }


def _bad_senders(senders: Mapping[str, str]) -> Iterator[Problem]:
    """Judge each as the channel judges the sender of a mailing."""
    for channel, sender in senders.items():
        try:
            validate_content(current.plugins, channel, {"sender_name": sender}, draft=True)
        except ValidationFailedError as error:
            for problem in error.problems:
                if problem.field == "sender_name":
                    yield Problem(f"{_SENDER}{channel}", problem.message)


def _test_customer(session: Session, form: Form) -> int | None:
    wanted = form.get("test_customer", "").strip()
    return find_test_customer(session, current.tenant_id, wanted) if wanted else None


def _lines(form: Form, name: str) -> list[str]:
    return [line.strip() for line in form.get(name, "").splitlines() if line.strip()]


def _sender(line: str) -> dict[str, str]:
    """Read `Name <address>` or an address alone."""
    name, bracket, rest = line.rpartition("<")
    return {"name": name.strip(), "address": rest.rstrip("> ")} if bracket else {"address": line}


def _quiet_day(line: str) -> dict[str, str]:
    day, _space, name = line.partition(" ")
    return {"date": day, "name": name.strip()}


def _minute(text: str) -> int | str | None:
    """Read a time; what is none is left for the check."""
    try:
        return minute_of(text)
    except ValueError:
        return text.strip() or None


def _shown(session: Session, stored: General) -> dict[str, Any]:
    """Make the values of the form from the stored settings."""
    unit = next(
        name
        for name, size in reversed(LIFETIME_UNITS.items())
        if not stored.lifetime_minutes % size
    )
    customer = session.get(Customer, (current.tenant_id, stored.test_customer_id or 0))
    values = {name: getattr(stored, name) for name in (*_TEXTS, *_NUMBERS)}
    return values | {
        **{name: f"{getattr(stored, name):g}" for name in _SHARES},
        "lifetime": stored.lifetime_minutes // LIFETIME_UNITS[unit],
        "lifetime_unit": unit,
        "window_from": _clock(stored.window_from),
        "window_until": _clock(stored.window_until),
        "senders": "\n".join(
            f"{s['name']} <{s['address']}>".strip() for s in _rows(stored.senders)
        ),
        "quiet_days": "\n".join(
            f"{d['date']} {d['name']}".strip() for d in _rows(stored.quiet_days)
        ),
        **{name: stored.utm.get(name, "") for name in UTM_NAMES},
        "watcher_group_id": stored.watcher_group_id,
        "test_customer": customer.external_id if customer else "",
        "unconfirmed_resend": [
            channel.name
            for channel in current.plugins.channels.values()
            if stored.unconfirmed_resend.get(channel.name, channel.resends_unconfirmed)
        ],
        "approval_always": "1" if stored.approval_always else "",
        "stop_words": "\n".join(stored.stop_words),
        **{f"{_SENDER}{name}": stored.sender_names.get(name, "") for name in _sending_channels()},
    }


def _by_channel(chosen: Collection[str]) -> dict[str, bool]:
    """What was chosen against the contracts of the channels."""
    return {
        name: name in chosen
        for name, channel in current.plugins.channels.items()
        if (name in chosen) != channel.resends_unconfirmed
    }


def _rows(stored: Sequence[Any]) -> list[Mapping[str, str]]:
    """Lists are stored as plain documents."""
    return [{"name": "", **row} for row in stored]


def _clock(minute: int | None) -> str:
    return "" if minute is None else clock_of(minute)


def _page(
    session: Session, values: Mapping[str, Any], problems: Sequence[Problem] = ()
) -> Response:
    locale = get_locale() or Locale("en")
    groups = list_watcher_groups(session, current.tenant_id)
    return page(
        "settings/general.html",
        status=422 if problems else 200,
        values=values,
        zones=[(zone, zone) for zone in sorted(available_timezones())],
        currencies=[
            (code, f"{code} {locale.currencies.get(code, '')}".strip())
            for code in sorted(list_currencies())
        ],
        countries=sorted(
            ((code, name) for code, name in locale.territories.items() if code.isalpha()),
            key=lambda country: country[1],
        ),
        groups=[("", _("No group")), *((str(group.id), group.name) for group in groups)],
        utm_names=UTM_NAMES,
        channels=sorted(current.plugins.channels.values(), key=lambda channel: channel.order),
        senders=_sending_channels(),
        installation=current.settings,
        problems=problems,
        errors={problem.field: problem.message for problem in problems},
    )
