"""A customer's profile: data, subscriptions, receipts, messages, segments and the timeline."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.customers.devices import devices_of
from envoi.customers.models import Customer
from envoi.customers.profile import (
    Profile,
    audiences_of,
    count_messages,
    count_receipts,
    customer_profile,
    get_customer,
    messages_of,
    receipts_of,
    segments_of,
)
from envoi.errors import Problem
from envoi.feedback.queries import last_bounce
from envoi.subscriptions import service as subscriptions_service
from envoi.subscriptions.service import Source
from envoi.webkit import allowed, current, page, page_url, paging_of, permission, see_other, toast
from envoi_web.customers.blueprint import customers
from envoi_web.customers.bounce_words import REASONS as BOUNCE_REASONS
from envoi_web.customers.context import (
    contact,
    field_groups,
    full_name,
    message_rows,
    personal_facts,
)
from envoi_web.customers.panels import panels_of
from envoi_web.customers.subscriptions import log_rows, read_change, subscription_rows
from envoi_web.customers.timeline import events_of, read_moment

TABS = ("data", "subscriptions", "receipts", "messages", "segments", "timeline")


@customers.get("/<int:customer_id>")
@permission("customers.view")
def profile(customer_id: int) -> Response:
    """Show one part of what is known of a customer."""
    return _show(customer_id, request.args.get("tab", ""))


@customers.post("/<int:customer_id>/subscription")
@permission("customers.subscriptions")
def change_subscription(customer_id: int) -> Response:
    """Subscribe or unsubscribe a customer who asked for it; the reason goes into the log."""
    with current.session() as session:
        customer = get_customer(session, current.tenant_id, customer_id)
        change = read_change(session, request.form)
        if change.problems:
            return _show(customer_id, "subscriptions", change.problems)
        about = (session, current.tenant_id, customer.id, change.channel, change.category_id)
        if change.subscribe:
            subscriptions_service.opt_in(*about, source=Source.EMPLOYEE, reason=change.reason)
        else:
            address = {"email": customer.email, "sms": customer.phone}.get(change.channel)
            subscriptions_service.opt_out(
                *about, source=Source.EMPLOYEE, reason=change.reason, address=address
            )
    toast(_("Subscription changed."))
    return see_other(url_for("customers.profile", customer_id=customer_id, tab="subscriptions"))


def _show(customer_id: int, asked: str, problems: tuple[Problem, ...] = ()) -> Response:
    tab = asked if asked in TABS else "data"
    with current.session() as session:
        found = customer_profile(session, current.tenant_id, customer_id)
        parts = _PARTS[tab](session, found)
    name = full_name(found.customer)
    return page(
        f"customers/profile_{tab}.html",
        fragments=("segment_list",),
        status=422 if problems else 200,
        profile=found,
        name=name,
        tabs=_tabs(customer_id, tab),
        problems=problems,
        crumbs=[(_("Customers"), url_for("customers.index")), (name, "")],
        **parts,
    )


def _tabs(customer_id: int, tab: str) -> list[dict[str, object]]:
    labels = {
        "data": _("Data"),
        "subscriptions": _("Subscriptions"),
        "receipts": _("Receipts"),
        "messages": _("Messages"),
        "segments": _("Segments"),
        "timeline": _("Timeline"),
    }
    return [
        {
            "label": labels[name],
            "url": url_for("customers.profile", customer_id=customer_id, tab=name),
            "open": name == tab,
        }
        for name in TABS
    ]


def _data(session: Session, found: Profile) -> dict[str, Any]:
    customer = found.customer
    return {
        "bounce": last_bounce(session, current.tenant_id, customer.email),
        "bounce_reasons": BOUNCE_REASONS,
        "facts": personal_facts(found),
        "groups": field_groups(found),
        "email": contact(customer.email, customer.email_quality),
        "phone": contact(customer.phone, customer.phone_quality),
        "devices": devices_of(session, current.tenant_id, customer.id),
        "panels": panels_of(session, customer.id),
    }


def _subscriptions(session: Session, found: Profile) -> dict[str, Any]:
    return {
        "rows": subscription_rows(session, found.customer),
        "log": log_rows(session, found.customer.id),
        "form": request.form,
    }


def _receipts(session: Session, found: Profile) -> dict[str, Any]:
    about = (session, current.tenant_id, found.customer.id)
    paging = paging_of(count_receipts(*about))
    return {
        "paging": paging,
        "receipts": receipts_of(*about, limit=paging.size, offset=paging.offset),
    }


def _messages(session: Session, found: Profile) -> dict[str, Any]:
    about = (session, current.tenant_id, found.customer.id)
    paging = paging_of(count_messages(*about))
    rows = messages_of(*about, limit=paging.size, offset=paging.offset)
    return {"paging": paging, "messages": message_rows(rows)}


def _segments(session: Session, found: Profile) -> dict[str, Any]:
    """Segments are looked for when asked: each is a query of its own."""
    asked = request.args.get("find") == "1" and allowed("segments.view")
    return {
        "audiences": audiences_of(session, current.tenant_id, found.customer.id),
        "segments": _found_segments(session, found.customer) if asked else None,
    }


def _found_segments(session: Session, customer: Customer) -> list[Any]:
    return segments_of(
        session,
        current.tenant_id,
        customer,
        now=datetime.now(UTC),
        plugins=current.plugins,
    )


def _timeline(session: Session, found: Profile) -> dict[str, Any]:
    until = read_moment(request.args.get("until", ""))
    events, older = events_of(session, found.customer, until)
    return {"events": events, "older_url": older and page_url(until=older.isoformat())}


_PARTS: dict[str, Callable[[Session, Profile], dict[str, Any]]] = {
    "data": _data,
    "subscriptions": _subscriptions,
    "receipts": _receipts,
    "messages": _messages,
    "segments": _segments,
    "timeline": _timeline,
}
