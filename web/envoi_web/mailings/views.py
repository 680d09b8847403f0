"""The list of mailings, and the way to a mailing's page."""

from __future__ import annotations

from datetime import datetime

from flask import Response, request
from flask_babel import gettext as _

from envoi.accounts.saved_views import SavedView, delete_view, save_view, saved_views
from envoi.errors import NotFoundError
from envoi.mailings import queries, service
from envoi.mailings.status import Status
from envoi.webkit import current, page, paging_of, permission, see_other, toast
from envoi_web.mailings import listing
from envoi_web.mailings.blueprint import mailings
from envoi_web.mailings.context import crumbs, home_url

VIEWS = "mailings"


@mailings.get("/")
@mailings.get("/<channel>")
@permission("mailings.view")
def index(channel: str | None = None) -> Response:
    """List mailings with what they did."""
    channels = listing.enabled_channels()
    if channel is not None and channel not in dict(channels):
        raise NotFoundError("This channel is not enabled for the company.")
    wanted, period = listing.filter_of(request.args, channel), listing.period_of(request.args)
    tenant_id, zone = current.tenant_id, current.company.zone
    with current.session() as session:
        listed = queries.list_mailings(session, tenant_id, wanted, zone)
        summary = queries.totals(
            session, tenant_id, channel, today=datetime.now(zone).date(), days=period or None
        )
        counts = queries.count_by_channel(session, tenant_id)
        offered = queries.choices(session, tenant_id)
        views = saved_views(session, tenant_id, current.account_id, VIEWS)
    return page(
        "mailings/list.html",
        fragments=("mailing_rows",),
        rows=listed.rows,
        total=listed.total,
        paging=paging_of(listed.matching, size=wanted.size),
        wanted=wanted,
        status_labels=listing.STATUS_LABELS,
        offered=offered,
        tags=listing.tags(wanted, offered),
        recent_days=listing.recent_days(),
        views=views,
        query=listing.kept_query(request.args),
        totals=listing.cards(summary),
        periods=listing.periods(period),
        tabs=listing.tabs(channels, counts, channel),
        channel=channel,
        channels=dict(channels),
        home_url=home_url,
        crumbs=crumbs(),
    )


@mailings.post("/views")
@permission("mailings.view")
def keep_view() -> Response:
    """Keep the list's filters under a name, or forget a name."""
    name, query = request.form.get("name", ""), request.form.get("query", "")
    view = SavedView(name, listing.clean_query(query))
    mine = (current.tenant_id, current.account_id, VIEWS)
    with current.session() as session:
        if request.form.get("action") == "delete":
            delete_view(session, *mine, name)
        else:
            save_view(session, *mine, view)
            toast(_("The view %(name)s was saved.", name=name))
    return see_other(listing.list_url(request.form))


@mailings.get("/<int:mailing_id>")
@permission("mailings.view")
def home(mailing_id: int) -> Response:
    """Lead to the editor, the progress or the report, by status."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        status = service.current_status(session, mailing)
    return see_other(home_url(mailing_id, Status(status)))
