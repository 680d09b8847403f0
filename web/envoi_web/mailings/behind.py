"""The customers behind a line of the volume before the start, and the answer about one."""

from __future__ import annotations

from flask import Response, request
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.audience.estimate import CONTROL, DEFERRED, ELIGIBLE, RECIPIENTS, SEGMENT, Answer
from envoi.customers.models import Customer
from envoi.delivery.models import Stage
from envoi.errors import NotFoundError
from envoi.mailings import service
from envoi.mailings.audience import answer_of, customers_named, customers_of_line
from envoi.mailings.models import Mailing
from envoi.webkit import current, page, page_url, permission
from envoi.webkit.formats import moment
from envoi_web.mailings.blueprint import mailings
from envoi_web.mailings.context import STAGE_LABELS, crumbs, detail_words


@mailings.get("/<int:mailing_id>/why")
@permission("customers.view")
def why(mailing_id: int) -> Response:
    """Answer why one customer gets the mailing or not."""
    wanted = request.args.get("customer", "").strip()[:200]
    chosen = request.args.get("id", None, type=int)
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        people = customers_named(session, current.tenant_id, wanted, chosen)
        found = None
        if len(people) == 1:
            customer = people[0]
            found = customer, answer_of(session, current.plugins, mailing, customer.id)
        return page(
            "mailings/why.html",
            fragments=("why_answer",),
            mailing=mailing,
            wanted=wanted,
            people=people,
            found=found,
            detail=detail_words(found[1].detail) if found and found[1] else "",
            problem=_("No customer has this name, id or address.") if wanted and not people else "",
            stage_labels=STAGE_LABELS,
            crumbs=crumbs(mailing.name, mailing.channel),
        )


def customers_before(session: Session, mailing: Mailing) -> Response:
    """List the customers behind a line of the volume, as they would be now."""
    outcome = request.args.get("outcome", RECIPIENTS)
    found = customers_of_line(
        session,
        current.plugins,
        mailing,
        outcome,
        detail=request.args.get("detail"),
        after=request.args.get("after", 0, type=int),
    )
    rows = [_row(answer, found.names[answer.customer_id]) for answer in found.answers]
    last = found.answers[-1].customer_id if found.answers else 0
    label = _label(outcome)
    return page(
        "mailings/behind.html",
        fragments=("behind_rows",),
        mailing=mailing,
        label=label,
        rows=rows,
        first_url=page_url(after=None) if "after" in request.args else "",
        next_url=page_url(after=last) if found.has_more else "",
        crumbs=[*crumbs(mailing.name, mailing.channel), (label, "")],
    )


def _row(answer: Answer, customer: Customer) -> dict[str, object]:
    reason = detail_words(answer.detail) if answer.detail else ""
    if answer.deferred_until is not None:
        later = _("later: %(time)s", time=moment(answer.deferred_until))
        reason = ", ".join(filter(None, (later, reason)))
    return {"customer": customer, "outcome": _label(answer.outcome), "reason": reason}


def _label(outcome: str) -> str:
    labels = {
        SEGMENT: _("Customers"),
        ELIGIBLE: _("Good recipients"),
        CONTROL: _("Control group"),
        RECIPIENTS: _("Recipients"),
        DEFERRED: _("Recipients, later"),
    }
    stages = {stage.name.lower(): str(STAGE_LABELS[stage]) for stage in Stage}
    label = labels.get(outcome) or stages.get(outcome)
    if label is None:
        raise NotFoundError("There is no such line in the volume.")
    return label
