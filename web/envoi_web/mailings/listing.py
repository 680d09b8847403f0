"""Reads the address of the list of mailings, and words what the list shows around its rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from urllib.parse import parse_qsl, urlencode

from flask import url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from werkzeug.datastructures import MultiDict

from envoi.accounts.saved_views import LONGEST_QUERY
from envoi.mailings.queries import PAGE_SIZES, Choices, MailingFilter, Totals
from envoi.mailings.status import Status
from envoi.webkit import current, page_url
from envoi.webkit.formats import day, money, number, translated

FILTERS = (
    *("q", "status", "created_from", "created_to", "sent_from", "sent_to", "author", "segment"),
    *("sort", "size"),
)
"""What of the address a saved view keeps."""

STATUS_LABELS = {
    Status.DRAFT: lazy_gettext("Draft"),
    Status.CREATED: lazy_gettext("Created"),
    Status.COLLECTING: lazy_gettext("Collecting"),
    Status.SENDING: lazy_gettext("Sending"),
    Status.PAUSED: lazy_gettext("Paused"),
    Status.SENT: lazy_gettext("Sent"),
    Status.CANCELLED: lazy_gettext("Cancelled"),
    Status.FAILED: lazy_gettext("Failed"),
}
PERIODS = {
    0: lazy_gettext("All time"),
    365: lazy_gettext("12 months"),
    90: lazy_gettext("90 days"),
    30: lazy_gettext("30 days"),
}
"""How far back the totals may reach, in days; 0 is everything."""


@dataclass(frozen=True)
class Tag:
    """A chosen filter and the address without it."""

    label: str
    remove_url: str


def filter_of(arguments: MultiDict[str, str], channel: str | None) -> MailingFilter:
    """Read the filters; what cannot be read is left out."""
    given = [s for text in arguments.getlist("status") for s in text.split(",")]
    size = arguments.get("size", 10, type=int)
    return MailingFilter(
        channel=channel,
        text=arguments.get("q", "").strip()[:200],
        statuses=tuple(dict.fromkeys(s for s in given if s in set(Status))),
        created_from=arguments.get("created_from", None, type=date.fromisoformat),
        created_to=arguments.get("created_to", None, type=date.fromisoformat),
        sent_from=arguments.get("sent_from", None, type=date.fromisoformat),
        sent_to=arguments.get("sent_to", None, type=date.fromisoformat),
        author_id=_number(arguments, "author", 2**31),
        segment_id=_number(arguments, "segment", 2**63),
        sort=arguments.get("sort", "-created_at"),
        page=min(max(1, arguments.get("page", 1, type=int)), 2**31),
        size=size if size in PAGE_SIZES else 10,
    )


def kept_query(arguments: MultiDict[str, str]) -> str:
    """Write the address's filters as a saved view keeps them."""
    pairs = [(name, v) for name in FILTERS for v in arguments.getlist(name) if v]
    return urlencode(pairs)


def clean_query(text: str) -> str:
    """Return of a form's query what the list knows, written anew."""
    return kept_query(MultiDict(parse_qsl(text[:LONGEST_QUERY])))


def list_url(arguments: MultiDict[str, str]) -> str:
    """Return the address of the list that a form was sent from, by its channel and query."""
    channel, query = arguments.get("channel", ""), clean_query(arguments.get("query", ""))
    known = channel if channel in dict(enabled_channels()) else None
    here = url_for("mailings.index", channel=known)
    return f"{here}?{query}" if query else here


def tags(wanted: MailingFilter, offered: Choices) -> list[Tag]:
    """Name each chosen filter, with the address that leaves it out."""
    found = [
        Tag(
            _("Status: %(value)s", value=STATUS_LABELS[Status(status)]),
            page_url(status=[s for s in wanted.statuses if s != status] or None),
        )
        for status in wanted.statuses
    ]
    spans = (
        ("created", _("Created: %(value)s"), wanted.created_from, wanted.created_to),
        ("sent", _("Sent on: %(value)s"), wanted.sent_from, wanted.sent_to),
    )
    for name, label, first, last in spans:
        if first or last:
            without = {f"{name}_from": None, f"{name}_to": None}
            found.append(Tag(label.replace("%(value)s", _span(first, last)), page_url(**without)))
    chosen = (
        ("author", _("Author: %(value)s"), wanted.author_id, offered.authors),
        ("segment", _("Segment: %(value)s"), wanted.segment_id, offered.segments),
    )
    for name, label, value, known in chosen:
        if value is not None:
            word = dict(known).get(value, "–")
            found.append(Tag(label.replace("%(value)s", word), page_url(**{name: None})))
    return found


def recent_days() -> list[tuple[str, str]]:
    """Offer the usual spans of sending, as (label, first day)."""
    today = datetime.now(current.company.zone).date()
    return [
        (_("Last %(days)s days", days=days), (today - timedelta(days=days)).isoformat())
        for days in (7, 30, 90)
    ]


def period_of(arguments: MultiDict[str, str]) -> int:
    """Read how many days the totals cover; 0 is all time."""
    asked = arguments.get("period", 0, type=int)
    return asked if asked in PERIODS else 0


def periods(chosen: int) -> list[dict[str, object]]:
    """Make the choice of the totals' period."""
    return [
        {"label": label, "url": page_url(period=days or None), "open": days == chosen}
        for days, label in PERIODS.items()
    ]


def cards(summary: Totals) -> list[dict[str, object]]:
    """Make the three cards above the list."""
    months = summary.by_month
    each = round(summary.amount / summary.receipts) if summary.receipts else None
    average = _("%(amount)s per receipt on average", amount=money(each, unit=False))
    return [
        {
            "label": _("Mailings sent"),
            "value": number(summary.mailings),
            "note": _("%(count)s in the last 30 days", count=number(summary.recent)),
            "months": [m[1] for m in months],
        },
        {
            "label": _("Receipts"),
            "value": number(summary.receipts),
            "note": _("attributed to these mailings"),
            "months": [m[2] for m in months],
        },
        {
            "label": _("Receipt amount"),
            "value": money(summary.amount, current.company.currency),
            "note": average if each is not None else _("of the attributed receipts"),
            "months": [m[3] for m in months],
        },
    ]


def tabs(
    channels: Iterable[tuple[str, str]], counts: dict[str, int], open_channel: str | None
) -> list[dict[str, object]]:
    """Make the tabs: everything, then each channel."""
    everything = {
        "label": _("All"),
        "url": url_for("mailings.index"),
        "open": open_channel is None,
        "count": counts.get("", 0),
    }
    return [everything] + [
        {
            "label": label,
            "url": url_for("mailings.index", channel=name),
            "open": open_channel == name,
            "count": counts.get(name, 0),
            "channel": name,
        }
        for name, label in channels
    ]


def enabled_channels() -> list[tuple[str, str]]:
    """List the company's channels as (name, label)."""
    with current.session() as session:
        mine = current.plugins.for_tenant(session, current.tenant_id)
    return [(spec.name, translated(spec.label)) for spec in mine.channels.values()]


def _number(arguments: MultiDict[str, str], name: str, limit: int) -> int | None:
    found = arguments.get(name, None, type=int)
    return found if found is not None and 0 <= found < limit else None


def _span(first: date | None, last: date | None) -> str:
    return f"{day(first) if first else ''} – {day(last) if last else ''}".strip()
