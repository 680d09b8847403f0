"""The figures of a report as files: one table for each chart and each comparison."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from io import StringIO

from flask_babel import gettext as _

from envoi.customers.csv_reader import safe_cell
from envoi.mailings.engagement import by_target
from envoi.mailings.report import MailingReport
from envoi.webkit import current
from envoi_web.mailings.context import channel_label
from envoi_web.mailings.costing import cost_in_minor
from envoi_web.reports import context
from envoi_web.reports.bounces import bounce_lines
from envoi_web.reports.compared import letter
from envoi_web.reports.period import Period
from envoi_web.reports.words import DEVICES, OUTCOMES, domain_label, program_label

Table = Iterable[Sequence[str | int | float]]


def as_csv(rows: Table) -> str:
    """Write a table; the mark lets spreadsheets take the file for UTF-8."""
    text = StringIO()
    writer = csv.writer(text)
    for row in rows:
        writer.writerow(safe_cell(cell) if isinstance(cell, str) else cell for cell in row)
    return "\ufeff" + text.getvalue()


def _days(report: MailingReport, period: Period) -> Table:
    yield _("Day"), _("Receipts"), _amount()
    for day in context.days(report, period):
        yield day.day.isoformat(), day.receipts, context.plain_amount(day.amount)


def _hours(report: MailingReport, period: Period) -> Table:
    yield _("Hour of day, %(zone)s", zone=current.company.time_zone), _("Opens")
    for hour, opens in enumerate(context.opens_by_hour(report, period)):
        yield context.hour_label(hour), opens


def _funnel(report: MailingReport, _period: Period) -> Table:
    yield _("Step"), _("Customers")
    for name in ("recipients", "sent", "delivered", "opened", "clicked", "bought"):
        yield str(OUTCOMES[name]), getattr(report.funnel, name)


def _steps(report: MailingReport, _period: Period) -> Table:
    cost = _("Cost, %(currency)s", currency=current.company.currency)
    facts = (_("Sent"), _("Delivered"), _("Read"), _("Failed"), _("Moved on"))
    yield _("Step"), _("Channel"), *facts, cost
    for one in report.steps:
        counts = (one.sent, one.delivered, one.read, one.failed)
        moved = one.followed if one.step < len(report.steps) else ""
        paid = context.plain_amount(cost_in_minor(one.amount)) if one.amount else ""
        yield one.step, channel_label(one.channel), *counts, moved, paid


def _groups(report: MailingReport, _period: Period) -> Table:
    yield _("Group"), _("Customers"), _("Buyers"), _("Receipts"), _amount()
    for label, group in (
        (_("Main group"), report.lift.main),
        (_("Control group"), report.lift.control),
    ):
        revenue = context.plain_amount(group.revenue)
        yield label, group.customers, group.buyers, group.receipts, revenue


def _variants(report: MailingReport, _period: Period) -> Table:
    facts = (_("Recipients"), _("Delivered"), _("Opened"), _("Clicked"), _("Receipts"), _amount())
    yield _("Variant"), _("Subject"), *facts
    for one in report.comparison.variants:
        counts = (one.recipients, one.delivered, one.opened, one.clicked, one.receipts)
        yield letter(one.number), one.subject, *counts, context.plain_amount(one.amount)


def _links(report: MailingReport, _period: Period) -> Table:
    yield _("Link"), _("Customers"), _("Clicks")
    for link in by_target(report.links):
        yield link.target, link.customers, link.clicks


def _readers(report: MailingReport, _period: Period) -> Table:
    yield _("Mail program"), _("Device"), _("Customers")
    for one in report.readers:
        yield program_label(one.program), str(DEVICES[one.device]), one.customers


def _domains(report: MailingReport, _period: Period) -> Table:
    facts = (_("Recipients"), _("Delivered"), _("Not delivered"), _("Opened"), _("Clicked"))
    yield _("Domain"), *facts
    for one in report.domains:
        counts = (one.recipients, one.delivered, one.bounced, one.opened, one.clicked)
        yield domain_label(one.domain), *counts


def _bounces(report: MailingReport, _period: Period) -> Table:
    yield _("Whose fault"), _("Reason"), _("Status"), _("Messages"), _("Answer, as a sample")
    for line in bounce_lines(report):
        yield line.fault, line.reason, line.status, line.count, line.answer


def _amount() -> str:
    return str(_("Amount, %(currency)s", currency=current.company.currency))


FILES: dict[str, Callable[[MailingReport, Period], Table]] = {
    "days": _days,
    "hours": _hours,
    "funnel": _funnel,
    "steps": _steps,
    "groups": _groups,
    "variants": _variants,
    "links": _links,
    "readers": _readers,
    "domains": _domains,
    "bounces": _bounces,
}
"""The parts of a report that are files."""
