"""The list of customers with its search, and a customer's profile."""

from __future__ import annotations

from flask import Response, request, url_for
from flask_babel import gettext as _

from envoi.customers.queries import count_customers, customer_profile, list_customers
from envoi.webkit import Blueprint, current, page, page_url, permission
from envoi_web.customers.context import (
    contact,
    full_name,
    message_rows,
    personal_facts,
    subscriptions,
    total_words,
)

customers = Blueprint("customers", __name__, url_prefix="/customers")

_LONGEST_SEARCH = 100


@customers.get("/")
@permission("customers.view")
def index() -> Response:
    """List customers by number, narrowed by a search for the beginnings of words."""
    search = request.args.get("q", "").strip()[:_LONGEST_SEARCH]
    with current.session() as session:
        found = list_customers(
            session,
            current.tenant_id,
            search=search,
            after=request.args.get("after", type=int),
            before=request.args.get("before", type=int),
        )
        total = count_customers(session, current.tenant_id, search)
    return page(
        "customers/list.html",
        fragments=("customer_rows",),
        customers=found.customers,
        search=search,
        total=total_words(total, bool(search)),
        nobody=not total.count and not search,
        previous_url=found.before and page_url(before=found.before, after=None),
        next_url=found.after and page_url(after=found.after, before=None),
        full_name=full_name,
        contact=contact,
    )


@customers.get("/<int:customer_id>")
@permission("customers.view")
def profile(customer_id: int) -> Response:
    """Show what is known of a customer: data, contacts, receipts, messages with their reasons."""
    with current.session() as session:
        found = customer_profile(session, current.tenant_id, customer_id)
    name = full_name(found.customer)
    return page(
        "customers/profile.html",
        profile=found,
        name=name,
        facts=personal_facts(found),
        email=contact(found.customer.email, found.customer.email_quality),
        phone=contact(found.customer.phone, found.customer.phone_quality),
        subscriptions=subscriptions(found),
        messages=message_rows(found),
        crumbs=[(_("Customers"), url_for("customers.index")), (name, "")],
    )
