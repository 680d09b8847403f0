"""The customers behind a number of the report: the list, and what can be done with all of them."""

from __future__ import annotations

from flask import Response, abort, request, url_for
from flask_babel import gettext as _

from envoi.exports.kinds import MAILING_CUSTOMERS
from envoi.exports.service import request_export
from envoi.jobs import Work, hint
from envoi.mailings import service
from envoi.mailings.outcomes import count_of, customers_of, outcome_names
from envoi.target_audiences.pending import ask_for_outcome
from envoi.target_audiences.queries import list_audiences
from envoi.webkit import (
    allowed,
    current,
    page,
    page_url,
    permission,
    require,
    see_other,
)
from envoi.webkit.pages import PAGE_SIZES
from envoi_web.mailings.behind import customers_before
from envoi_web.reports import context, words
from envoi_web.reports.blueprint import crumbs, reports

PAGE_SIZE = 50


@reports.get("/<int:mailing_id>/customers")
@permission("reports.customers")
def customers(mailing_id: int) -> Response:
    """List the customers behind a number of the report, or of the volume before the start."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        if mailing.run_id is None:
            return customers_before(session, mailing)
        outcome, size = _outcome(request.args.get("outcome", "recipients")), _size()
        after = request.args.get("after", 0, type=int)
        where = (session, current.tenant_id, mailing_id, outcome)
        rows = customers_of(*where, after=after, limit=size + 1)
        count = count_of(*where)
        offered = list_audiences(session, current.tenant_id) if allowed("audiences.edit") else []
        name, channel = mailing.name, mailing.channel
    shown = rows[:size]
    label = words.outcome_label(outcome)
    report_url = url_for("reports.report", mailing_id=mailing_id)
    places = [*crumbs(channel), (_("Report: %(name)s", name=name), report_url)]
    return page(
        "reports/customers.html",
        fragments=("customer_rows",),
        mailing_id=mailing_id,
        outcome=outcome,
        outcomes=words.outcomes(),
        label=label,
        mailing_name=name,
        count=count,
        rows=[context.customer_row(row) for row in shown],
        size=size,
        sizes=PAGE_SIZES,
        audiences=offered,
        first_url=page_url(after=None) if after else "",
        next_url=page_url(after=shown[-1].customer_id) if len(rows) > size else "",
        report_url=report_url,
        crumbs=[*places, (label, "")],
    )


@reports.post("/<int:mailing_id>/customers/audience")
@permission("audiences.edit")
def add_to_audience(mailing_id: int) -> Response:
    """Let everybody behind a number be added to a target audience."""
    require("reports.customers")
    outcome = _outcome(request.form.get("outcome", ""))
    audience_id = request.form.get("audience_id", 0, type=int)
    with current.session() as session:
        ask_for_outcome(session, current.tenant_id, audience_id, mailing_id, outcome)
    hint(current.installation.broker, Work.AUDIENCE, current.tenant_id, audience_id)
    return see_other(url_for("audiences.show", audience_id=audience_id))


@reports.post("/<int:mailing_id>/customers/export")
@permission("customers.export")
def export_customers(mailing_id: int) -> Response:
    """Let everybody behind a number be written into a file."""
    require("reports.customers")
    outcome = _outcome(request.form.get("outcome", ""))
    contacts = allowed("customers.contacts")
    params = {"mailing": mailing_id, "outcome": outcome, "contacts": contacts}
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        asked = (session, current.tenant_id, MAILING_CUSTOMERS, params, current.account_id)
        made = request_export(*asked, name=mailing.name)
    hint(current.installation.broker, Work.EXPORT, current.tenant_id, made.id)
    return see_other(url_for("exports.index"))


def _outcome(name: str) -> str:
    if name not in outcome_names():
        abort(404)
    return name


def _size() -> int:
    asked = request.args.get("size", PAGE_SIZE, type=int)
    return asked if asked in PAGE_SIZES else PAGE_SIZE
