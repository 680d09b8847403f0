"""What a mailing is going to cost: worked out after the page is there, since it takes a while."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from babel.numbers import get_currency_precision
from flask import Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.delivery.costs import spent
from envoi.delivery.prices import UNITS
from envoi.errors import ValidationFailedError
from envoi.mailings import service
from envoi.mailings.budget import change_budget
from envoi.mailings.costs import CostEstimate, estimate_cost
from envoi.mailings.models import Mailing, MailingState
from envoi.webkit import current, page, permission, see_other, toast
from envoi.webkit.formats import money, number
from envoi_web.mailings.blueprint import mailings
from envoi_web.mailings.context import crumbs
from envoi_web.mailings.measuring import parts_words
from envoi_web.mailings.when_form import read_budget, shown_budget


@mailings.get("/<int:mailing_id>/cost")
@permission("mailings.edit")
def cost(mailing_id: int) -> Response:
    """Say what a draft is going to cost."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        try:
            links_url = current.settings.links_url
            found = estimate_cost(session, current.plugins, mailing, links_url)
        except ValidationFailedError:
            words = _("The message cannot be sent like this, so its cost is not known.")
        else:
            words = cost_words(found)
        return page(
            "mailings/cost.html",
            fragments=("cost",),
            mailing=mailing,
            words=words,
            crumbs=crumbs(mailing.name, mailing.channel),
        )


@mailings.get("/<int:mailing_id>/budget")
@permission("mailings.start")
def budget(mailing_id: int) -> Response:
    """Show what a started mailing may cost, and has cost."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        return _budget_page(session, mailing)


@mailings.post("/<int:mailing_id>/budget")
@permission("mailings.start")
def save_budget(mailing_id: int) -> Response:
    """Raise, lower or drop the budget of a started mailing; a person resumes it then."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        if mailing.state == MailingState.DRAFT:
            return see_other(url_for("mailings.when", mailing_id=mailing_id))
        try:
            change_budget(session, current.tenant_id, mailing_id, read_budget(request.form))
        except ValidationFailedError as error:
            return _budget_page(session, mailing, error)
    toast(_("Budget saved."))
    return see_other(url_for("mailings.progress", mailing_id=mailing_id))


def _budget_page(
    session: Session, mailing: Mailing, error: ValidationFailedError | None = None
) -> Response:
    problems = error.problems if error else ()
    typed = request.form.get("budget", shown_budget(mailing))
    so_far = spent(session, mailing.tenant_id, mailing.run_id or 0)
    return page(
        "mailings/budget.html",
        status=422 if problems else 200,
        mailing=mailing,
        typed=typed,
        spent=cost_money(so_far),
        problems=problems,
        errors={problem.field: problem.message for problem in problems},
        crumbs=crumbs(mailing.name, mailing.channel),
    )


def cost_words(found: CostEstimate) -> str:
    """Say an estimate: an amount or two, and the parts."""
    parts = parts_words(found.parts_high)
    if found.parts_low != found.parts_high:
        parts = _("%(low)s to %(parts)s", low=number(found.parts_low), parts=parts)
    if not found.priced:
        return str(_("%(parts)s; the gateway has no prices", parts=parts))
    amount = cost_money(found.high)
    if found.low != found.high:
        amount = _("%(low)s to %(high)s", low=cost_money(found.low), high=amount)
    return f"{amount}, {parts}"


def cost_money(amount: int) -> str:
    """A cost as an amount in the company's currency."""
    return money(cost_in_minor(amount))


def cost_in_minor(amount: int) -> int:
    """A cost in the smallest unit of the company's currency, as other amounts are."""
    places = get_currency_precision(current.company.currency)
    return int((Decimal(amount) / UNITS).scaleb(places).quantize(Decimal(1), ROUND_HALF_UP))
