"""Up to five mailings side by side, and the same figures as a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _

from envoi.errors import ConflictError, NotFoundError
from envoi.mailings import queries
from envoi.mailings.kept import report_to_show
from envoi.mailings.lift import Lift, Verdict
from envoi.mailings.report import MailingReport
from envoi.webkit import current, page, permission
from envoi.webkit.formats import NO_VALUE, day, money, number, percent, signed
from envoi_web.reports import context
from envoi_web.reports.blueprint import crumbs, reports
from envoi_web.reports.files import Table, as_csv
from envoi_web.reports.views import file
from envoi_web.reports.words import OUTCOMES

FEWEST, MOST = 2, 5
_DIGITS = 18
"""No number of a mailing has more."""


@dataclass(frozen=True)
class Compared:
    """The mailings that were chosen: their reports, and the names of those that have none yet."""

    reports: list[MailingReport]
    counting: list[str]
    unsent: list[str]

    @property
    def is_enough(self) -> bool:
        """Whether there is something to compare."""
        return FEWEST <= len(self.reports) <= MOST


@dataclass(frozen=True)
class Figure:
    """A line of the comparison; a rate names what it is of."""

    label: str
    cell: Callable[[MailingReport], tuple[str, str]]
    base: str = ""


@reports.get("/compare")
@permission("reports.view")
def compare() -> Response:
    """Put the chosen mailings side by side."""
    chosen = _ids()
    found = _compared(chosen[:MOST])
    return page(
        "reports/compare.html",
        found=found,
        columns=[_column(report) for report in found.reports],
        groups=_rows(found.reports),
        too_many=len(chosen) > MOST,
        most=MOST,
        file_url=url_for("reports.compare_file", id=chosen[:MOST]),
        crumbs=[*crumbs(), (_("Compare mailings"), "")],
    )


@reports.get("/compare.csv")
@permission("reports.export")
def compare_file() -> Response:
    """Give the comparison as a file, a line for each mailing."""
    return file(as_csv(_table(_compared(_ids()[:MOST]).reports)), "mailings-compared.csv")


def _ids() -> list[int]:
    given = request.args.getlist("id")
    ids = (int(n) for n in given if n.isascii() and n.isdigit() and len(n) <= _DIGITS)
    return list(dict.fromkeys(ids))


def _compared(ids: list[int]) -> Compared:
    made: list[MailingReport] = []
    counting: list[str] = []
    unsent: list[str] = []
    with current.session() as session:
        rows = {row.id: row for row in queries.mailings_by_id(session, current.tenant_id, ids)}
        for row in (rows[number] for number in ids if number in rows):
            try:
                report = report_to_show(session, current.plugins, current.tenant_id, row.id)
            except (ConflictError, NotFoundError):
                unsent.append(row.name)
                continue
            if report is None:
                counting.append(row.name)
            else:
                made.append(report)
    return Compared(made, counting, unsent)


def _column(report: MailingReport) -> dict[str, str]:
    return {
        "name": report.name,
        "note": day(report.launched_at) + ("" if report.finished_at else ", " + _("so far")),
        "url": url_for("reports.report", mailing_id=report.mailing_id),
    }


def _rows(found: list[MailingReport]) -> list[dict[str, Any]]:
    return [
        {
            "label": label,
            "rows": [
                {
                    "label": figure.label,
                    "base": figure.base,
                    "cells": [figure.cell(report) for report in found],
                }
                for figure in figures
            ],
        }
        for label, figures in _groups()
    ]


def _groups() -> list[tuple[str, list[Figure]]]:
    return [
        (_("Mailing volume"), _volume()),
        (_("Mailing efficiency"), _efficiency()),
        (_("Attributed receipts"), _sales()),
        (_("Effect against the control group"), _effect()),
    ]


def _volume() -> list[Figure]:
    return [
        Figure(_("Customers"), _count(lambda r: r.volume.customers)),
        Figure(_("Good recipients"), _count(lambda r: r.volume.good)),
        Figure(_("Control group"), _count(lambda r: r.volume.control)),
        Figure(_("Recipients"), _count(lambda r: r.volume.recipients)),
    ]


def _efficiency() -> list[Figure]:
    def of_delivered(label: str, count: Callable[[MailingReport], int]) -> Figure:
        return Figure(label, _rate(count, lambda r: r.funnel.delivered), _("of delivered"))

    sent = _rate(lambda r: r.funnel.sent, lambda r: r.funnel.recipients)
    delivered = _rate(lambda r: r.funnel.delivered, lambda r: r.funnel.sent)
    return [
        Figure(_("Sent"), sent, _("of recipients")),
        Figure(_("Delivered"), delivered, _("of sent")),
        of_delivered(_("Opened"), lambda r: r.funnel.opened),
        of_delivered(_("Clicked"), lambda r: r.funnel.clicked),
        of_delivered(_("Unsubscribed"), lambda r: r.funnel.unsubscribed),
        of_delivered(_("Complained"), lambda r: r.funnel.complained),
    ]


def _sales() -> list[Figure]:
    buyers = _rate(lambda r: r.funnel.bought, lambda r: r.funnel.opened)
    return [
        Figure(_("Receipts"), _count(lambda r: r.sales.receipts)),
        Figure(_("Amount"), lambda r: (money(r.sales.amount), "")),
        Figure(_("Bought"), buyers, _("of opened")),
        Figure(_("Amount per recipient"), _per_recipient),
    ]


def _effect() -> list[Figure]:
    return [
        Figure(_("Buyers among recipients"), lambda r: (percent(r.lift.main.conversion, 2), "")),
        Figure(
            _("Buyers in the control group"), lambda r: (percent(r.lift.control.conversion, 2), "")
        ),
        Figure(_("Difference, with its interval"), lambda r: _difference(r.lift)),
        Figure(_("Revenue per customer, difference"), lambda r: _revenue(r.lift)),
        Figure(_("Verdict"), lambda r: (_verdict(r.lift), "")),
    ]


def _count(count: Callable[[MailingReport], int]) -> Callable[[MailingReport], tuple[str, str]]:
    return lambda report: (number(count(report)), "")


def _rate(
    count: Callable[[MailingReport], int], base: Callable[[MailingReport], int]
) -> Callable[[MailingReport], tuple[str, str]]:
    """The rate with its count below; of few the count alone."""

    def cell(report: MailingReport) -> tuple[str, str]:
        return context.rate_or_count(count(report), base(report))

    return cell


def _per_recipient(report: MailingReport) -> tuple[str, str]:
    recipients = report.volume.recipients
    return (money(round(report.sales.amount / recipients)) if recipients else NO_VALUE), ""


def _difference(lift: Lift) -> tuple[str, str]:
    found = lift.conversion
    if found is None:
        return NO_VALUE, ""
    value, low, high = (
        signed(round(each * 100, 2), 2) for each in (found.value, found.low, found.high)
    )
    return _("%(points)s pp", points=value), f"{low} … {high}"


def _revenue(lift: Lift) -> tuple[str, str]:
    found = lift.revenue_per_customer
    if found is None:
        return NO_VALUE, ""
    ends = (money(round(end), unit=False) for end in (found.low, found.high))
    return money(round(found.value)), " … ".join(ends)


def _verdict(lift: Lift) -> str:
    """No verdict while purchases still count: some moment would look significant by chance."""
    if lift.verdict is Verdict.NO_CONTROL:
        return str(_("No control group"))
    if lift.verdict is Verdict.TOO_FEW:
        return str(_("Groups too small"))
    if lift.is_open:
        return str(_("After %(day)s", day=day(lift.until)))
    words = {
        Verdict.MORE: _("Bought more often"),
        Verdict.FEWER: _("Bought less often"),
        Verdict.NOT_SIGNIFICANT: _("Not significant"),
    }
    return str(words[lift.verdict])


def _table(found: list[MailingReport]) -> Table:
    facts = ("recipients", "sent", "delivered", "opened", "clicked", "unsubscribed", "complained")
    labels = [str(OUTCOMES[name]) for name in facts]
    effect = [_("Buyers, main group"), _("Buyers, control group"), _("Control group")]
    yield [_("Mailing"), _("Sent on"), _("Customers"), *labels, _("Receipts"), _("Amount"), *effect]
    for one in found:
        counts = [getattr(one.funnel, name) for name in facts]
        lift = one.lift
        groups = (lift.main.buyers, lift.control.buyers, lift.control.customers)
        sold = (one.sales.receipts, context.plain_amount(one.sales.amount))
        launched = one.launched_at.astimezone(current.company.zone).date().isoformat()
        yield [one.name, launched, one.volume.customers, *counts, *sold, *groups]
