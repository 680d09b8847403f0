"""The figures of a report as files: one table for each chart and each comparison."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from io import StringIO

from flask_babel import gettext as _

from envoi.customers.csv_reader import safe_cell
from envoi.mailings.report import MailingReport
from envoi.webkit import current
from envoi_web.reports import context
from envoi_web.reports.compared import letter
from envoi_web.reports.words import OUTCOMES

Table = Iterable[Sequence[str | int | float]]


def as_csv(report: MailingReport, part: str) -> str:
    """Write a part of `FILES`; the mark lets spreadsheets take the file for UTF-8."""
    text = StringIO()
    writer = csv.writer(text)
    for row in FILES[part](report):
        writer.writerow(safe_cell(cell) if isinstance(cell, str) else cell for cell in row)
    return "\ufeff" + text.getvalue()


def _days(report: MailingReport) -> Table:
    yield _("Day"), _("Receipts"), _amount()
    for day in context.days(report):
        yield day.day.isoformat(), day.receipts, context.plain_amount(day.amount)


def _hours(report: MailingReport) -> Table:
    yield _("Hour of day, %(zone)s", zone=current.company.time_zone), _("Opens")
    for hour, opens in enumerate(report.opens_by_hour):
        yield context.hour_label(hour), opens


def _funnel(report: MailingReport) -> Table:
    yield _("Step"), _("Customers")
    for name in ("recipients", "sent", "delivered", "opened", "clicked", "bought"):
        yield str(OUTCOMES[name]), getattr(report.funnel, name)


def _groups(report: MailingReport) -> Table:
    yield _("Group"), _("Customers"), _("Buyers"), _("Receipts"), _amount()
    for label, group in (
        (_("Main group"), report.lift.main),
        (_("Control group"), report.lift.control),
    ):
        revenue = context.plain_amount(group.revenue)
        yield label, group.customers, group.buyers, group.receipts, revenue


def _variants(report: MailingReport) -> Table:
    facts = (_("Recipients"), _("Delivered"), _("Opened"), _("Clicked"), _("Receipts"), _amount())
    yield _("Variant"), _("Subject"), *facts
    for one in report.comparison.variants:
        counts = (one.recipients, one.delivered, one.opened, one.clicked, one.receipts)
        yield letter(one.number), one.subject, *counts, context.plain_amount(one.amount)


def _links(report: MailingReport) -> Table:
    yield _("Link"), _("Customers"), _("Clicks")
    for link in report.links:
        yield link.target, link.customers, link.clicks


def _amount() -> str:
    return str(_("Amount, %(currency)s", currency=current.company.currency))


FILES: dict[str, Callable[[MailingReport], Table]] = {
    "days": _days,
    "hours": _hours,
    "funnel": _funnel,
    "groups": _groups,
    "variants": _variants,
    "links": _links,
}
"""The parts of a report that are files."""
