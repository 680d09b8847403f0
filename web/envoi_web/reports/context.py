"""What the report's templates are given, as plain data made from the core's report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from babel import dates, numbers
from flask import url_for
from flask_babel import get_locale, ngettext
from flask_babel import gettext as _

from envoi.delivery.models import MessageState, Run
from envoi.delivery.unconfirmed import can_resend
from envoi.mailings.engagement import by_target
from envoi.mailings.outcomes import CustomerOutcome
from envoi.mailings.report import DaySales, MailingReport, Reason
from envoi.mailings.statistics import SMALLEST_GROUP
from envoi.receipts.attribution import OPENED
from envoi.types import AddressKind
from envoi.webkit import allowed, current
from envoi.webkit.formats import NO_VALUE, money, number, percent
from envoi_web.charts import ticks
from envoi_web.mailings.context import SHOWN_STATES, STAGE_LABELS, detail_words
from envoi_web.mailings.reasons import held_reason
from envoi_web.reports.period import Period
from envoi_web.reports.words import (
    DEVICES,
    OUTCOMES,
    domain_label,
    leave_reason,
    program_label,
)

_CROWDED = 20
"""Bars from which on only every third one is labelled."""


@dataclass(frozen=True)
class CustomerRow:
    """A customer of a number's list, with the state that is shown."""

    customer: CustomerOutcome
    name: str
    state: str
    reason: str


def customers_url(report: MailingReport, outcome: str, count: int) -> str:
    """The list behind a number; none for zero or for who may not see customers."""
    if not count or not allowed("reports.customers"):
        return ""
    return url_for("reports.customers", mailing_id=report.mailing_id, outcome=outcome)


def tells_opens(report: MailingReport) -> bool:
    """Whether opens are known: always of some channels, of others where a phone has told.

    Who clicked counts as one who opened, so those tell nothing.
    """
    return report.channel in OPENED or report.funnel.opened > report.funnel.clicked


def is_mail(report: MailingReport) -> bool:
    """Whether domains and mail programs say something of the message."""
    spec = current.plugins.channels.get(report.channel)
    return spec is not None and spec.address_kind is AddressKind.EMAIL


def _attribution_words(report: MailingReport) -> str:
    if not report.attribution_days:
        return str(_("This mailing attributes no receipts"))
    days = report.attribution_days
    opened = ngettext("within %(num)s day of opening", "within %(num)s days of opening", days)
    delivered = ngettext("within %(num)s day of delivery", "within %(num)s days of delivery", days)
    return str(opened if report.channel in OPENED else delivered)


def cells(report: MailingReport) -> list[dict[str, Any]]:
    """The four figures under the verdict."""
    funnel, people = report.funnel, not report.with_machines
    opened = _("Opened by people") if people else _("Opened, with machines")
    clicked = _("Clicked by people") if people else _("Clicked, with machines")
    return [
        {
            "label": _("Recipients"),
            "value": number(funnel.recipients),
            "note": ngettext(
                "of %(count)s customer",
                "of %(count)s customers",
                report.volume.customers,
                count=number(report.volume.customers),
            ),
        },
        _rate_cell(opened, funnel.opened, funnel.delivered)
        if tells_opens(report)
        else _rate_cell(_("Delivered"), funnel.delivered, funnel.sent),
        _rate_cell(clicked, funnel.clicked, funnel.delivered),
        {
            "label": _("Attributed receipts"),
            "value": f"{number(report.sales.receipts)}, {money(report.sales.amount)}",
            "note": _attribution_words(report),
        },
    ]


def _rate_cell(label: str, count: int, base: int) -> dict[str, Any]:
    note = _("%(count)s of %(base)s", count=number(count), base=number(base))
    return {"label": label, "value": percent(count / base) if base else NO_VALUE, "note": note}


def volume(report: MailingReport) -> list[dict[str, Any]]:
    """The waterfall as lines; stages that removed nobody are folded by the template."""
    counted = report.volume
    stages = [
        _line(
            report, str(STAGE_LABELS[line.stage]), line.stage.name.lower(), line.count, minus=True
        )
        for line in counted.stages
    ]
    control = _control_label(report)
    return [
        _line(report, _("Customers"), "customers", counted.customers),
        *stages,
        _line(report, _("Good recipients"), "good", counted.good, kind="sum"),
        _line(report, control, "control", counted.control, minus=True),
        _line(report, _("Actual recipients"), "recipients", counted.recipients, kind="total"),
    ]


def _control_label(report: MailingReport) -> str:
    if report.control_audience:
        return str(_("Control group: %(audience)s", audience=report.control_audience))
    if not report.control_share:
        return str(_("Control group"))
    share = number(report.control_share) + "\u00a0%"
    return str(_("Control group, %(share)s", share=share))


def _line(
    report: MailingReport,
    label: str,
    outcome: str,
    count: int,
    *,
    minus: bool = False,
    kind: str = "",
) -> dict[str, Any]:
    sign = "−\u00a0" if minus and count else ""
    url = customers_url(report, outcome, count)
    return {"label": label, "text": sign + number(count), "url": url, "kind": kind, "count": count}


def funnel(report: MailingReport) -> list[dict[str, Any]]:
    """How far the messages came, each step with its rate and the base in words."""
    counted = report.funnel
    opens = counted.opens + (counted.machine_opens if report.with_machines else 0)
    clicks = counted.clicks + (counted.machine_clicks if report.with_machines else 0)
    of_contact = _rate(counted.bought, counted.opened, _("of opened"))
    if report.channel not in OPENED:
        of_contact = _rate(counted.bought, counted.delivered, _("of delivered"))

    def of_delivered(count: int) -> str:
        return _rate(count, counted.delivered, _("of delivered"))

    steps = (
        ("recipients", counted.recipients, "", percent(1, 0)),
        ("sent", counted.sent, "", _rate(counted.sent, counted.recipients, _("of recipients"))),
        ("delivered", counted.delivered, "", _rate(counted.delivered, counted.sent, _("of sent"))),
        ("opened", counted.opened, _times(opens), of_delivered(counted.opened)),
        ("clicked", counted.clicked, _times(clicks), of_delivered(counted.clicked)),
        ("bought", counted.bought, _("attributed"), of_contact),
    )
    # With machines the numbers are not those of the lists, which show people.
    linked = ("recipients", "sent", "delivered", "bought") if report.with_machines else OUTCOMES
    return [
        {
            "label": str(OUTCOMES[name]),
            "count": count,
            "note": note,
            "rate": rate,
            "url": customers_url(report, name, count) if name in linked else "",
            "colour": "green" if name == "bought" else "primary",
        }
        for name, count, note, rate in steps
        if name != "opened" or tells_opens(report)
    ]


def unconfirmed(report: MailingReport, run: Run) -> dict[str, Any] | None:
    """What nobody knows, and what may be done about it; None where everything is known."""
    counted = report.funnel
    if not (counted.unconfirmed or counted.resent or counted.resending):
        return None
    names = (("unconfirmed", counted.unconfirmed), ("resent", counted.resent))
    lines = [(str(OUTCOMES[n]), number(k), customers_url(report, n, k)) for n, k in names]
    may = allowed("mailings.start")
    return {
        "lines": lines,
        "resending": counted.resending,
        "can_resend": may and counted.unconfirmed and can_resend(run, datetime.now(UTC)),
        "can_leave": may and counted.resending,
    }


def _rate(count: int, base: int, words: str) -> str:
    return f"{percent(count / base)} {words}" if base else NO_VALUE


def _times(count: int) -> str:
    return str(ngettext("%(count)s time", "%(count)s times", count, count=number(count)))


def days(report: MailingReport, period: Period) -> list[DaySales]:
    """Every day of the period, also those without receipts."""
    found = {day.day: day for day in report.sales.days}
    return [found.get(day, DaySales(day=day, receipts=0, amount=0)) for day in period.days]


def chart(report: MailingReport, period: Period, *, by_amount: bool) -> dict[str, Any]:
    """The bars of purchases by day."""
    shown = days(report, period)
    crowded = len(shown) > _CROWDED
    values = [float(plain_amount(d.amount)) if by_amount else d.receipts for d in shown]
    labels = [_short(d.day) for d in shown]
    bars = [
        {
            "label": label,
            "value": value,
            "text": number(round(value)) if value and not crowded else "",
        }
        for label, value in zip(labels, values, strict=True)
    ]
    receipts = _("Attributed receipts by day")
    return {
        "bars": bars,
        "ticks": ticks(max(values)),
        "label": _("Amount of attributed receipts by day") if by_amount else receipts,
        "unit": current.company.currency if by_amount else _("Receipts"),
        "period": f"{labels[0]} – {labels[-1]}, {current.company.time_zone}",
        "sum": _sum(shown, None if period.chosen else report.sales.buyers),
    }


def opens_by_hour(report: MailingReport, period: Period) -> list[int]:
    """Opens by hour of the day, 24 numbers from midnight on."""
    found = [0] * 24
    for each in report.opens:
        # Without a choice also the opens after the window, which the days do not show.
        if each.day in period or not period.chosen:
            found[each.hour] += each.opens
    return found


def hours(report: MailingReport, period: Period) -> dict[str, Any] | None:
    """The bars of opens by hour of the day; None where nobody opened."""
    opens = opens_by_hour(report, period)
    if not any(opens):
        return None
    busiest = max(range(24), key=lambda hour: opens[hour])
    bars = [
        {"label": hour_label(hour), "value": count, "text": number(count) if count else ""}
        for hour, count in enumerate(opens)
    ]
    label = _(
        "Opens by hour of the day, most between %(begin)s and %(end)s, %(count)s in all",
        begin=hour_label(busiest),
        end=hour_label((busiest + 1) % 24),
        count=number(sum(opens)),
    )
    return {
        "bars": bars,
        "ticks": ticks(max(opens)),
        "label": label,
        "zone": current.company.time_zone,
        "sum": ngettext("%(count)s open", "%(count)s opens", sum(opens), count=number(sum(opens))),
    }


def hour_label(hour: int) -> str:
    """An hour of the day as its beginning."""
    return f"{hour:02d}:00"


def _short(day: date) -> str:
    return dates.format_date(day, "d MMM", locale=get_locale() or "en")


def _sum(shown: list[DaySales], buyers: int | None) -> str:
    receipts, amount = sum(day.receipts for day in shown), sum(day.amount for day in shown)
    count = number(receipts)
    words = [ngettext("%(count)s receipt", "%(count)s receipts", receipts, count=count)]
    words.append(money(amount))
    if buyers is not None:
        count = number(buyers)
        words.append(ngettext("%(count)s customer", "%(count)s customers", buyers, count=count))
    return ", ".join(words)


def reasons(report: MailingReport) -> list[dict[str, Any]]:
    """The three cards: not delivered, not sent, unsubscribed."""
    left = [(leave_reason(code), "", count) for code, count in report.unsubscribed.items()]
    counted = report.funnel
    bounced, held = _held(report.not_delivered), _held(report.not_sent)
    return [
        _card(report, _("Not delivered"), counted.bounced, bounced, "undelivered"),
        _card(report, _("Not sent"), counted.not_sent, held, "not_sent"),
        _card(report, _("Unsubscribed"), counted.unsubscribed, left, "unsubscribed"),
    ]


def _held(found: tuple[Reason, ...]) -> list[tuple[str, str, int]]:
    return [(*held_reason(reason), reason.count) for reason in found]


def _card(
    report: MailingReport, title: str, count: int, rows: list[tuple[str, str, int]], outcome: str
) -> dict[str, Any]:
    url = customers_url(report, outcome, count)
    return {"title": title, "count": count, "rows": rows, "url": url}


def links(report: MailingReport) -> list[dict[str, Any]]:
    """The targets of the message with unique and total clicks; the rate is of who clicked."""
    clicked = report.funnel.clicked
    return [
        {"target": target.target, "clicks": target.clicks} | _part(target.customers, clicked)
        for target in by_target(report.links)
    ]


def _part(customers: int, whole: int) -> dict[str, Any]:
    """Customers as a number, as a share and as a bar."""
    return {
        "customers": customers,
        "share": percent(customers / whole) if whole else NO_VALUE,
        "width": round(100 * min(customers / whole, 1), 2) if whole else 0,
    }


def readers(report: MailingReport) -> list[dict[str, Any]]:
    """Two tables of the same people: by device, and by mail program."""
    people = sum(found.customers for found in report.readers)
    if not people:
        return []
    devices: Counter[str] = Counter()
    programs: Counter[str] = Counter()
    for found in report.readers:
        devices[str(DEVICES[found.device])] += found.customers
        programs[program_label(found.program)] += found.customers
    return [
        {
            "label": label,
            "rows": [{"name": name} | _part(n, people) for name, n in counts.most_common(10)],
        }
        for label, counts in ((_("Device"), devices), (_("Mail program"), programs))
    ]


def domains(report: MailingReport) -> list[dict[str, Any]]:
    """What became of the messages to each domain, with rates where there are enough."""
    return [
        {
            "domain": domain_label(found.domain),
            "recipients": number(found.recipients),
            "delivered": number(found.delivered),
            "bounced": rate_or_count(found.bounced, found.delivered + found.bounced),
            "opened": rate_or_count(found.opened, found.delivered),
            "clicked": rate_or_count(found.clicked, found.delivered),
        }
        for found in report.domains
    ]


def rate_or_count(count: int, base: int) -> tuple[str, str]:
    """The rate with its count below; of few the count alone."""
    return (percent(count / base), number(count)) if base >= SMALLEST_GROUP else (number(count), "")


def customer_row(row: CustomerOutcome) -> CustomerRow:
    """A line of the list behind a number."""
    name = f"{row.first_name} {row.last_name}".strip() or row.external_id
    stage = str(STAGE_LABELS[row.stage]) if row.stage else ""
    reason = ", ".join(part for part in (stage, detail_words(row.detail)) if part)
    return CustomerRow(row, name, _state(row), reason)


def _state(row: CustomerOutcome) -> str:
    if row.state is not MessageState.ACCEPTED:
        return SHOWN_STATES[row.state]
    facts = (
        ("undelivered", row.bounced_at),
        ("clicked", row.clicked_at),
        ("opened", row.opened_at),
    )
    return next((name for name, at in facts if at), "sent")


def plain_amount(minor: int) -> str:
    """An amount as a number for files, without currency and separators."""
    places = numbers.get_currency_precision(current.company.currency)
    return str(Decimal(minor).scaleb(-places))
