"""The report of a mailing, its days as CSV, and the customers behind any of its numbers."""

from __future__ import annotations

import csv
from io import StringIO

from flask import Response, abort, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.customers.csv_reader import safe_cell
from envoi.mailings import service
from envoi.mailings.outcomes import count_of, customers_of, outcome_names
from envoi.mailings.report import MailingReport, report_of_mailing
from envoi.webkit import Blueprint, current, page, page_url, permission
from envoi_web.mailings.behind import customers_before
from envoi_web.reports import context, words
from envoi_web.reports.groups import groups

reports = Blueprint("reports", __name__, url_prefix="/mailings")

PAGE_SIZE = 50


@reports.get("/<int:mailing_id>/report")
@permission("reports.view")
def report(mailing_id: int) -> Response:
    """Show what a mailing did, so far or in the end."""
    with_machines = request.args.get("machines") == "1"
    by_amount = request.args.get("measure") == "amount"
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        status = service.current_status(session, mailing)
        found = _report(session, mailing_id, with_machines=with_machines)
    return page(
        "reports/report.html",
        report=found,
        mailing_status_name=status.value,
        lead=words.lead(found),
        verdict=words.verdict(found.lift),
        cells=context.cells(found),
        volume=context.volume(found),
        funnel_rows=context.funnel(found),
        chart=context.chart(found, by_amount=by_amount),
        by_amount=by_amount,
        groups=groups(found.lift),
        reasons=context.reasons(found),
        crumbs=[*_crumbs(), (_("Report: %(name)s", name=found.name), "")],
    )


@reports.get("/<int:mailing_id>/report/days.csv")
@permission("reports.export")
def days(mailing_id: int) -> Response:
    """Give the attributed receipts by day as a file."""
    with current.session() as session:
        found = _report(session, mailing_id)
    text = StringIO()
    writer = csv.writer(text)
    head = (_("Day"), _("Receipts"), _("Amount, %(currency)s", currency=current.company.currency))
    writer.writerow(safe_cell(cell) for cell in head)
    for day in context.days(found):
        writer.writerow((day.day.isoformat(), day.receipts, context.plain_amount(day.amount)))
    name = f"mailing-{mailing_id}-days.csv"
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    # The mark at the beginning lets spreadsheets take the file for UTF-8.
    return Response("\ufeff" + text.getvalue(), mimetype="text/csv", headers=disposition)


@reports.get("/<int:mailing_id>/customers")
@permission("reports.customers")
def customers(mailing_id: int) -> Response:
    """List the customers behind a number of the report, or of the volume before the start."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        if mailing.run_id is None:
            return customers_before(session, mailing)
    outcome = request.args.get("outcome", "recipients")
    if outcome not in outcome_names():
        abort(404)
    after = request.args.get("after", 0, type=int)
    where = (current.tenant_id, mailing_id, outcome)
    with current.session() as session:
        name = service.get_mailing(session, current.tenant_id, mailing_id).name
        rows = customers_of(session, *where, after=after, limit=PAGE_SIZE + 1)
        count = count_of(session, *where)
    shown = rows[:PAGE_SIZE]
    label = words.outcome_label(outcome)
    report_url = url_for("reports.report", mailing_id=mailing_id)
    places = [*_crumbs(), (_("Report: %(name)s", name=name), report_url)]
    return page(
        "reports/customers.html",
        fragments=("customer_rows",),
        label=label,
        mailing_name=name,
        count=count,
        rows=[context.customer_row(row) for row in shown],
        first_url=page_url(after=None) if after else "",
        next_url=page_url(after=shown[-1].customer_id) if len(rows) > PAGE_SIZE else "",
        report_url=report_url,
        crumbs=[*places, (label, "")],
    )


def _report(session: Session, mailing_id: int, *, with_machines: bool = False) -> MailingReport:
    where = (session, current.plugins, current.tenant_id, mailing_id)
    return report_of_mailing(*where, with_machines=with_machines)


def _crumbs() -> list[tuple[str, str]]:
    return [
        (_("Mass messaging"), url_for("mailings.index")),
        (_("Email"), url_for("mailings.index", channel="email")),
    ]
