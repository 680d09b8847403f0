"""The settings of a mailing in words: for its review, and for what two editors typed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo, available_timezones

from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy.orm import Session

from envoi.audience.volume import Volume
from envoi.audience.window import CUSTOMER, SendingWindow
from envoi.delivery.pace import pace_of
from envoi.delivery.steps import Success
from envoi.mailings import service
from envoi.mailings.cascade import Following, following
from envoi.mailings.copies import addresses_of
from envoi.mailings.headline import headline
from envoi.mailings.models import Mailing
from envoi.mailings.variants import content_at
from envoi.receipts.attribution import OPENED
from envoi.tenants.models import WatcherGroup
from envoi.webkit import current
from envoi.webkit.formats import clock, day, moment, money, number
from envoi_web.clocks import clock_of
from envoi_web.mailings.context import step_words
from envoi_web.mailings.when_form import UNITS


@dataclass(frozen=True)
class ReviewRow:
    """A line of the review: what it is about, what is set, a note, and the step that sets it."""

    label: str
    value: str
    note: str
    step: str
    template: bool = False


@dataclass(frozen=True)
class Start:
    """The start in words, by the company's clock and by the employee's where it differs."""

    words: str
    zone: str
    own: str
    ready: str


def field_labels() -> dict[str, str]:
    """Name the fields of the third step."""
    return {
        "start": _("Start of the mailing"),
        "date": _("Date"),
        "time": _("Time"),
        "lifetime": _("Message lifetime"),
        "lifetime_unit": _("Unit of the lifetime"),
        "limit_per_minute": _("Limit sending per minute"),
        "budget": _("Budget"),
        "window": _("Send time interval"),
        "window_from": _("From"),
        "window_until": _("Until"),
        "window_zone": _("By whose clock"),
        "attribution": _("Attribute receipts"),
        "attribution_days": _("Days"),
        "attribution_from": _("First day"),
        "attribution_until": _("Last day"),
        "min_items": _("At least so many products"),
        "min_amount": _("At least this amount"),
        "products": _("With one of these products"),
        "categories": _("With a product of one of these categories"),
        "watcher_group_id": _("Watchers"),
    }


def review_rows(session: Session, mailing: Mailing) -> list[ReviewRow]:
    """Return the review's lines below Who: sender, every variant, every setting."""
    group = session.get(WatcherGroup, (mailing.tenant_id, mailing.watcher_group_id or 0))
    rows = [*_content_rows(session, mailing), *_later_rows(session, mailing)]
    rows.append(ReviewRow(_("Start"), _start(mailing), _sending_words(mailing), "when"))
    rows.append(ReviewRow(_("Lifetime"), lifetime_words(mailing.lifetime_minutes), "", "when"))
    rows.append(ReviewRow(_("Attribution"), *_attribution_words(mailing), "when"))
    if group is not None:
        rows.append(
            ReviewRow(_("Watchers"), group.name, _people(watching(group, mailing.channel)), "when")
        )
    return rows


def watching(group: WatcherGroup, channel: str) -> int:
    """Count the watchers whom a channel reaches."""
    return len(addresses_of(group, current.plugins.channels[channel].address_kind))


def start_words(mailing: Mailing, own_zone: str) -> Start:
    """Say when it starts, and when a limit lets it be ready."""
    zone = current.company.zone
    at = mailing.starts_at or datetime.now(UTC)
    offset = at.astimezone(zone).strftime("%z")
    own = ""
    if own_zone in available_timezones() and own_zone != current.company.time_zone:
        time = at.astimezone(ZoneInfo(own_zone)).strftime("%H:%M")
        own = _("%(time)s in your time, %(zone)s", time=time, zone=own_zone)
    return Start(
        words=_start(mailing),
        zone=f"{current.company.time_zone}, UTC{offset[:3]}:{offset[3:]}",
        own=str(own) if mailing.starts_at else "",
        ready=_ready(mailing, at),
    )


def lifetime_words(minutes: int) -> str:
    """Say a lifetime in its largest whole unit."""
    unit = next(name for name, size in UNITS.items() if minutes % size == 0)
    count = minutes // UNITS[unit]
    words = {
        "days": ngettext("%(num)s day", "%(num)s days", count),
        "hours": ngettext("%(num)s hour", "%(num)s hours", count),
        "minutes": ngettext("%(num)s minute", "%(num)s minutes", count),
    }
    return str(words[unit])


def _content_rows(session: Session, mailing: Mailing) -> list[ReviewRow]:
    variants = service.variants_of(session, mailing)
    volume = Volume.from_document(mailing.volume)
    first = variants[0].content
    sender = ", ".join(filter(None, (first.get("sender_name"), first.get("sender_address"))))
    schema = current.plugins.channels[mailing.channel].content_schema.model_fields
    replies = first.get("reply_to") or ""
    note = _("Replies to %(address)s", address=replies) if replies else ""
    nobody = _("not yet") if "sender_address" in schema else _("as the gateway has set")
    rows = [ReviewRow(_("From"), sender or nobody, str(note), "what")]
    for place, variant in enumerate(variants):
        subject = headline(variant.content)
        letter, share = "ABCDE"[place % 5], number(variant.share, None)
        several = len(variants) > 1
        label = _("Variant %(letter)s, %(share)s %%", letter=letter, share=share)
        sizes = volume.variants if volume and len(volume.variants) == len(variants) else ()
        said = _people(sizes[place]) if several and sizes else ""
        name = label if several else _("Subject") if "subject" in schema else _("Message")
        rows.append(ReviewRow(name, subject or _("not yet"), said, "what", template=True))
    return rows


def _later_rows(session: Session, mailing: Mailing) -> Iterator[ReviewRow]:
    """Say what each further step of a cascade says, and when it is taken."""
    variants = service.variants_of(session, mailing)
    for (step, later), variant in product(enumerate(following(mailing), start=2), variants):
        label = step_words(step, later.channel)
        if len(variants) > 1:
            label += ", " + str(_("Variant %(letter)s", letter="ABCDE"[variant.number - 1]))
        written = headline(content_at(variant, step)) or _("not yet")
        yield ReviewRow(label, written, _course_words(later), "what", template=True)


def _course_words(step: Following) -> str:
    count = step.wait_minutes
    if step.success is Success.READ:
        return str(ngettext("not read in %(num)s minute", "not read in %(num)s minutes", count))
    words = ngettext("not delivered in %(num)s minute", "not delivered in %(num)s minutes", count)
    return str(words)


def _start(mailing: Mailing) -> str:
    if mailing.starts_at is None:
        return str(_("now, after confirmation"))
    return str(moment(mailing.starts_at))


def _sending_words(mailing: Mailing) -> str:
    words = []
    window = SendingWindow.of(mailing.window_from, mailing.window_until, mailing.window_zone)
    if window is not None:
        times = {"start": clock_of(window.start), "end": clock_of(window.end)}
        by_customer = window.zone == CUSTOMER
        said = (
            _("between %(start)s and %(end)s by each customer's clock", **times)
            if by_customer
            else _("between %(start)s and %(end)s, company time", **times)
        )
        words.append(said)
    if mailing.limit_per_minute:
        words.append(_("at most %(count)s a minute", count=number(mailing.limit_per_minute)))
    return ", ".join(words)


def _attribution_words(mailing: Mailing) -> tuple[str, str]:
    if mailing.attribution_until is not None:
        first, last = day(mailing.attribution_from), day(mailing.attribution_until)
        said = _("receipts from %(first)s to %(last)s", first=first, last=last)
    elif mailing.attribution_days:
        count = mailing.attribution_days
        said = ngettext(
            "receipts within %(num)s day of opening",
            "receipts within %(num)s days of opening",
            count,
        )
        if mailing.channel not in OPENED:
            said = ngettext(
                "receipts within %(num)s day of delivery",
                "receipts within %(num)s days of delivery",
                count,
            )
    else:
        return str(_("none")), ""
    return str(said), _condition_words(mailing)


def _condition_words(mailing: Mailing) -> str:
    wanted, words = mailing.attribution_conditions, []
    if items := wanted.get("min_items"):
        words.append(_("at least %(count)s products", count=number(items)))
    if amount := wanted.get("min_amount"):
        words.append(_("at least %(sum)s", sum=money(amount, current.company.currency)))
    named = [*wanted.get("products", []), *wanted.get("categories", [])]
    if named:
        words.append(_("with one of: %(names)s", names=", ".join(named)))
    return "; ".join(words)


def _ready(mailing: Mailing, start: datetime) -> str:
    pace = pace_of(mailing.limit_per_minute, mailing.limit_per_minute or 1)
    recipients = mailing.volume.get("recipients", 0) if mailing.volume else 0
    if pace is None or not recipients:
        return ""
    return str(clock(start + timedelta(minutes=recipients / pace.per_minute)))


def _people(count: int) -> str:
    return str(ngettext("%(count)s recipient", "%(count)s recipients", count, count=number(count)))
