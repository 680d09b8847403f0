"""The report of a mailing, and its figures as files."""

from __future__ import annotations

from flask import Response, abort, request
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.mailings import service
from envoi.mailings.kept import kept_report
from envoi.mailings.report import MailingReport
from envoi.webkit import current, page, permission
from envoi_web.reports import context, words
from envoi_web.reports.blueprint import crumbs, reports
from envoi_web.reports.compared import variants
from envoi_web.reports.files import FILES, as_csv
from envoi_web.reports.groups import groups


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
        verdict=words.verdict(found),
        cells=context.cells(found),
        volume=context.volume(found),
        funnel_rows=context.funnel(found),
        chart=context.chart(found, by_amount=by_amount),
        by_amount=by_amount,
        groups=groups(found.lift),
        control_words=words.control_words(found),
        variants=variants(found.comparison),
        reasons=context.reasons(found),
        links=context.links(found),
        hours=context.hours(found),
        crumbs=[*crumbs(), (_("Report: %(name)s", name=found.name), "")],
    )


@reports.get("/<int:mailing_id>/report/figures.csv")
@permission("reports.export")
def figures(mailing_id: int) -> Response:
    """Give a part of the report as a file: what stands behind a chart or a comparison."""
    part = request.args.get("of", "days")
    if part not in FILES:
        abort(404)
    with current.session() as session:
        found = _report(session, mailing_id, with_machines=request.args.get("machines") == "1")
    name = f"mailing-{mailing_id}-{part}.csv"
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(as_csv(found, part), mimetype="text/csv", headers=disposition)


def _report(session: Session, mailing_id: int, *, with_machines: bool) -> MailingReport:
    where = (session, current.plugins, current.tenant_id, mailing_id)
    return kept_report(*where, with_machines=with_machines)
