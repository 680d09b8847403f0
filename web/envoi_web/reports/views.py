"""The report of a mailing, and its figures as files."""

from __future__ import annotations

from flask import Response, abort, request, url_for
from flask_babel import gettext as _

from envoi.delivery.models import Run
from envoi.errors import ConflictError
from envoi.jobs import Work, hint
from envoi.mailings import service
from envoi.mailings.kept import report_to_show
from envoi.mailings.models import Mailing
from envoi.mailings.report import MailingReport
from envoi.webkit import current, page, permission, see_other
from envoi_web.reports import context, words
from envoi_web.reports.blueprint import crumbs, reports
from envoi_web.reports.bounces import bounce_lines
from envoi_web.reports.cascade import steps
from envoi_web.reports.compared import variants
from envoi_web.reports.counting import still_counted
from envoi_web.reports.files import FILES, as_csv
from envoi_web.reports.groups import groups
from envoi_web.reports.period import period_of


@reports.get("/<int:mailing_id>/report")
@permission("reports.view")
def report(mailing_id: int) -> Response:
    """Show what a mailing did, so far or in the end."""
    mailing, run, status, found = _asked(mailing_id)
    if found is None:
        hint(current.installation.broker, Work.REPORT, current.tenant_id, run.id)
        return still_counted(mailing, run, status)
    if request.headers.get("HX-Target") == "counting":
        return Response(headers={"HX-Refresh": "true"})
    by_amount = request.args.get("measure") == "amount"
    period = period_of(found, request.args)
    return page(
        "reports/report.html",
        report=found,
        mailing_status_name=status,
        lead=words.lead(found),
        verdict=words.verdict(found),
        cells=context.cells(found),
        volume=context.volume(found),
        funnel_rows=context.funnel(found),
        steps=steps(found),
        channels=[step.channel for step in found.steps] or [found.channel],
        opens=context.tells_opens(found),
        is_mail=context.is_mail(found),
        period=period,
        chart=context.chart(found, period, by_amount=by_amount),
        by_amount=by_amount,
        groups=groups(found.lift),
        control_words=words.control_words(found),
        variants=variants(found.comparison),
        reasons=context.reasons(found),
        bounces=bounce_lines(found),
        links=context.links(found),
        hours=context.hours(found, period),
        readers=context.readers(found),
        domains=context.domains(found),
        unconfirmed=context.unconfirmed(found, run),
        crumbs=[*crumbs(found.channel), (_("Report: %(name)s", name=found.name), "")],
    )


@reports.get("/<int:mailing_id>/report/figures.csv")
@permission("reports.export")
def figures(mailing_id: int) -> Response:
    """Give a part of the report as a file: what stands behind a chart or a comparison."""
    part = request.args.get("of", "days")
    if part not in FILES:
        abort(404)
    found = _asked(mailing_id)[3]
    if found is None:
        return see_other(url_for("reports.report", mailing_id=mailing_id))
    rows = FILES[part](found, period_of(found, request.args))
    return file(as_csv(rows), f"mailing-{mailing_id}-{part}.csv")


def file(text: str, name: str) -> Response:
    """Answer with a file to be saved."""
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, mimetype="text/csv", headers=disposition)


def _asked(mailing_id: int) -> tuple[Mailing, Run, str, MailingReport | None]:
    """The mailing with its run, its status and its report, None while that is being counted."""
    with_machines = request.args.get("machines") == "1"
    with current.session() as session:
        where = (session, current.plugins, current.tenant_id, mailing_id)
        found = report_to_show(*where, with_machines=with_machines)
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        run, status = service.get_run(session, mailing), service.current_status(session, mailing)
    if run is None:
        raise ConflictError("This mailing has not started, so there is nothing to report yet.")
    return mailing, run, status.value, found
