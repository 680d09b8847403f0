"""The first page: how to begin, or what the latest mailings did."""

from __future__ import annotations

from datetime import datetime

from flask import Response
from flask_babel import gettext as _

from envoi.mailings.first_steps import first_steps
from envoi.mailings.queries import MailingFilter, list_mailings, totals
from envoi.mailings.status import Status
from envoi.webkit import Blueprint, current, page, permission
from envoi.webkit.formats import money, number
from envoi_web.mailings.context import home_url

summary = Blueprint("summary", __name__, url_prefix="/summary")

BEGUN = tuple(s.value for s in Status if s not in (Status.DRAFT, Status.CREATED))
LATEST = MailingFilter(sort="-sent_at", size=10, statuses=BEGUN)
PLANNED = MailingFilter(sort="sent_at", size=10, statuses=(Status.CREATED.value,))
PERIOD_DAYS = 30


@summary.get("/")
@permission("summary.view")
def index() -> Response:
    """Guide to the first mailing; from then on show what runs, what is planned and what it did."""
    zone = current.company.zone
    today = datetime.now(zone).date()
    with current.session() as session:
        steps = first_steps(session, current.tenant_id)
        latest = list_mailings(session, current.tenant_id, LATEST, zone).rows
        planned = list_mailings(session, current.tenant_id, PLANNED, zone).rows
        found = totals(session, current.tenant_id, today=today, days=PERIOD_DAYS)
    cards = [
        {
            "label": _("Mailings sent"),
            "value": number(found.mailings),
            "note": _("in the last 30 days"),
            "months": [month[1] for month in found.by_month],
        },
        {
            "label": _("Receipts"),
            "value": number(found.receipts),
            "note": _("attributed to them"),
            "months": [month[2] for month in found.by_month],
        },
        {
            "label": _("Amount"),
            "value": money(found.amount, current.company.currency),
            "note": _("of these receipts"),
            "months": [month[3] for month in found.by_month],
        },
    ]
    return page(
        "summary/index.html",
        steps=steps,
        latest=latest,
        planned=planned,
        cards=cards,
        home_url=home_url,
    )
