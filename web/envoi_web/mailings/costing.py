"""What a mailing is going to cost: worked out after the page is there, since it takes a while."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from babel.numbers import get_currency_precision
from flask import Response
from flask_babel import gettext as _

from envoi.delivery.prices import UNITS
from envoi.errors import ValidationFailedError
from envoi.mailings import service
from envoi.mailings.costs import CostEstimate, estimate_cost
from envoi.webkit import current, page, permission
from envoi.webkit.formats import money, number
from envoi_web.mailings.blueprint import mailings
from envoi_web.mailings.measuring import parts_words


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
        return page("mailings/cost.html", fragments=("cost",), mailing=mailing, words=words)


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
    places = get_currency_precision(current.company.currency)
    minor = (Decimal(amount) / UNITS).scaleb(places).quantize(Decimal(1), ROUND_HALF_UP)
    return money(int(minor))
