"""The list of customers: search, filters, columns, and what to do with who is found."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.accounts.list_columns import choose_columns
from envoi.customers.fields import fields_of
from envoi.customers.queries import (
    SORTS,
    CustomerPage,
    Purchases,
    Total,
    count_customers,
    list_customers,
    purchases_of,
    values_of,
)
from envoi.customers.search import (
    NO_FILTER,
    CustomerFilter,
    offered_categories,
    offered_products,
    tree_of_filters,
)
from envoi.mailings.service import create_draft, just_drafted
from envoi.segments.service import create_segment, just_created
from envoi.webkit import current, page, page_url, permission, rows_per_page, see_other, toast
from envoi_web.customers import columns
from envoi_web.customers.blueprint import customers
from envoi_web.customers.context import GENDERS, contact, full_name, total_words
from envoi_web.customers.filters import LONGEST_SEARCH, args_of, tags_of, wanted_of

_LONGEST_NAME = 200
_PATIENT = "patient"


@customers.get("/")
@permission("customers.view")
def index() -> Response:
    """List customers, narrowed by words and by purchases; all of it stands in the address.

    A search that takes long answers at once that it goes on, and is asked again with patience.
    """
    wanted, sort, size = wanted_of(request.args), _sort(), rows_per_page(25)
    patient = _PATIENT in request.args
    with current.session() as session:
        found = list_customers(
            session,
            current.tenant_id,
            wanted,
            sort=sort,
            after=request.args.get("after", type=int),
            before=request.args.get("before", type=int),
            size=size,
            patient=patient,
        )
        total = _total(session, wanted, found)
        table = _table(session, found)
        categories = [(name, name) for name in offered_categories(session, current.tenant_id)]
    return page(
        "customers/list.html",
        fragments=("customer_rows",),
        found=found,
        goes_on_url="" if patient else page_url(**{_PATIENT: "1"}),
        wanted=wanted,
        filters=args_of(wanted),
        tags=tags_of(wanted),
        sort=sort,
        size=size,
        total=total_words(total, wanted != NO_FILTER) if total else "",
        nobody=total is not None and not total.count and wanted == NO_FILTER,
        categories=categories,
        query=request.query_string.decode("ascii", "replace"),
        previous_url=found.before and page_url(before=found.before, after=None, patient=None),
        next_url=found.after and page_url(after=found.after, before=None, patient=None),
        **table,
        **_words(),
    )


@customers.get("/products")
@permission("customers.view")
def products() -> Response:
    """Offer products while a person types one."""
    typed = request.args.get("product", "").replace("\0", "").strip()[:LONGEST_SEARCH]
    with current.session() as session:
        found = offered_products(session, current.tenant_id, typed)
    return page("customers/products.html", products=found)


@customers.post("/columns")
@permission("customers.view")
def keep_columns() -> Response:
    """Keep the columns that the employee chose, and show the list as it was."""
    with current.session() as session:
        offered = columns.offered_columns(fields_of(session, current.tenant_id))
        chosen = [name for name in offered if name in request.form.getlist("column")]
        choose_columns(session, current.tenant_id, current.account_id, columns.PLACE, chosen)
    query = urlencode(parse_qsl(request.form.get("query", "")))
    return see_other(url_for("customers.index") + (f"?{query}" if query else ""))


@customers.post("/mailing")
@permission("mailings.edit")
def create_mailing() -> Response:
    """Make a draft of a mailing to the customers of the list."""
    wanted = wanted_of(request.form)
    name = _name(wanted)
    with current.session() as session:
        mine = (session, current.tenant_id)
        asked: dict[str, Any] = {
            "channel": "email",
            "name": name,
            "tree": tree_of_filters(session, current.tenant_id, wanted),
            "account_id": current.account_id,
        }
        made = just_drafted(*mine, **asked) or create_draft(*mine, **asked)
        made_id = made.id
    return see_other(url_for("mailings.who", mailing_id=made_id))


@customers.post("/segment")
@permission("segments.edit")
def save_segment() -> Response:
    """Make a segment of the list's conditions and open it, to be named and refined."""
    wanted = wanted_of(request.form)
    name = _name(wanted)
    with current.session() as session:
        mine = (session, current.tenant_id, name, current.account_id)
        made = just_created(*mine) or create_segment(
            session,
            current.tenant_id,
            name=name,
            tree=tree_of_filters(session, current.tenant_id, wanted),
            plugins=current.plugins,
            created_by=current.account_id,
        )
        made_id = made.id
    toast(_("Segment saved."))
    return see_other(url_for("segments.edit", segment_id=made_id))


def _sort() -> str:
    asked = request.args.get("sort", "id")
    return asked if asked.removeprefix("-") in SORTS else "id"


def _total(session: Session, wanted: CustomerFilter, found: CustomerPage) -> Total | None:
    """A page that stands alone is counted already; one that is not there yet is not counted."""
    if found.too_slow:
        return None
    if not (found.before or found.after) and "after" not in request.args:
        return Total(count=len(found.customers))
    return count_customers(session, current.tenant_id, wanted)


def _table(session: Session, found: CustomerPage) -> dict[str, Any]:
    """The columns that the employee chose, and what stands in them besides the customers."""
    fields = fields_of(session, current.tenant_id)
    offered = columns.offered_columns(fields)
    shown = columns.shown_columns(session, offered)
    ids = [customer.id for customer in found.customers]
    return {
        "offered": offered,
        "shown": shown,
        "headings": columns.headings(shown, offered, fields),
        "fields": {columns.column_of(field): field for field in fields},
        "bought": _bought(session, ids, shown),
        "values": values_of(session, current.tenant_id, ids) if _shows_fields(shown) else {},
    }


def _bought(session: Session, ids: list[int], shown: list[str]) -> dict[int, Purchases]:
    if not columns.OF_PURCHASES & set(shown):
        return {}
    found = purchases_of(session, current.tenant_id, ids)
    return {number: found.get(number, Purchases()) for number in ids}


def _shows_fields(shown: list[str]) -> bool:
    return any(name.startswith("field_") for name in shown)


def _name(wanted: CustomerFilter) -> str:
    said = ", ".join(tag["label"] for tag in tags_of(wanted)) or _("All customers")
    name: str = _("Customers: %(filters)s", filters=said)
    return name[:_LONGEST_NAME]


def _words() -> dict[str, Any]:
    """What the cells of the table are written with."""
    return {
        "full_name": full_name,
        "contact": contact,
        "genders": GENDERS,
        "age_of": columns.age_of,
        "value_words": columns.value_words,
        "today": datetime.now(current.company.zone).date(),
    }
