"""The list of mailings; creating, copying, deleting, and the way to a mailing's page."""

from __future__ import annotations

from flask import Response, request, url_for
from flask_babel import gettext as _

from envoi.errors import NotFoundError
from envoi.mailings import queries, service
from envoi.mailings.status import Status
from envoi.segments.queries import list_segments
from envoi.webkit import current, page, paging_of, permission, require_author, see_other, toast
from envoi.webkit.formats import money, number, translated
from envoi_web.mailings.blueprint import mailings
from envoi_web.mailings.context import crumbs, home_url, options


@mailings.get("/")
@mailings.get("/<any(email):channel>")
@permission("mailings.view")
def index(channel: str | None = None) -> Response:
    """List mailings with what they did."""
    wanted = _filter(channel)
    with current.session() as session:
        listed = queries.list_mailings(session, current.tenant_id, wanted)
        summary = queries.totals(session, current.tenant_id, channel)
        counts = queries.count_by_channel(session, current.tenant_id)
    paging = paging_of(listed.matching, size=wanted.size)
    return page(
        "mailings/list.html",
        fragments=("mailing_rows",),
        rows=listed.rows,
        total=listed.total,
        paging=paging,
        wanted=wanted,
        statuses=[s.value for s in Status],
        totals=_cards(summary),
        tabs=_tabs(counts, channel),
        home_url=home_url,
        crumbs=crumbs(),
    )


@mailings.get("/new")
@permission("mailings.edit")
def new() -> Response:
    """Show the small form that makes a draft."""
    with current.session() as session:
        segments = [(s.id, s.name) for s in list_segments(session, current.tenant_id)]
    return page(
        "mailings/new.html",
        segments=options(segments, _("Choose later")),
        segment_id=request.args.get("segment", ""),
        channels=_channels(),
        crumbs=crumbs(_("Create mailing")),
    )


@mailings.post("/new")
@permission("mailings.edit")
def create() -> Response:
    """Make a draft and open its editor."""
    channel = request.form.get("channel", "email")
    if channel not in dict(_channels()):
        raise NotFoundError("This channel is not enabled for the company.")
    with current.session() as session:
        made = service.create_draft(
            session,
            current.tenant_id,
            channel=channel,
            name=request.form.get("name", ""),
            segment_id=request.form.get("segment_id", None, type=int),
            account_id=current.account_id,
        )
        made_id = made.id
    return see_other(url_for("mailings.who", mailing_id=made_id))


@mailings.get("/<int:mailing_id>")
@permission("mailings.view")
def home(mailing_id: int) -> Response:
    """Lead to the editor, the progress or the report, by status."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        status = service.current_status(session, mailing)
    return see_other(home_url(mailing_id, status))


@mailings.post("/<int:mailing_id>/copy")
@permission("mailings.edit")
def copy(mailing_id: int) -> Response:
    """Make a copy and open it for editing."""
    with current.session() as session:
        made = service.copy_mailing(session, current.tenant_id, mailing_id, current.account_id)
        made_id, name = made.id, made.name
    toast(_("%(name)s was made. Nothing is sent until you confirm it.", name=name))
    return see_other(url_for("mailings.who", mailing_id=made_id))


@mailings.post("/<int:mailing_id>/delete")
@permission("mailings.delete")
def delete(mailing_id: int) -> Response:
    """Delete a mailing; what is unsent of a running one does not leave any more."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        require_author("mailings.delete", mailing.created_by)
        service.delete_mailing(session, current.tenant_id, mailing_id)
    toast(_("The mailing was deleted."))
    return see_other(url_for("mailings.index"))


def _filter(channel: str | None) -> queries.MailingFilter:
    size = request.args.get("size", 10, type=int)
    return queries.MailingFilter(
        channel=channel,
        text=request.args.get("q", "").strip()[:200],
        statuses=tuple(s for s in request.args.getlist("status") if s in set(Status)),
        sort=request.args.get("sort", "-created_at"),
        page=max(1, request.args.get("page", 1, type=int)),
        size=size if size in queries.PAGE_SIZES else 10,
    )


def _cards(summary: queries.Totals) -> list[dict[str, object]]:
    months = summary.by_month
    return [
        {
            "label": _("Mailings sent"),
            "value": number(summary.mailings),
            "note": _("in all"),
            "months": [m[1] for m in months],
        },
        {
            "label": _("Receipts"),
            "value": number(summary.receipts),
            "note": _("attributed to mailings"),
            "months": [m[2] for m in months],
        },
        {
            "label": _("Receipt amount"),
            "value": money(summary.amount, current.company.currency),
            "note": _("of the attributed receipts"),
            "months": [m[3] for m in months],
        },
    ]


def _tabs(counts: dict[str, int], channel: str | None) -> list[dict[str, object]]:
    everything = {
        "label": _("All"),
        "url": url_for("mailings.index"),
        "open": channel is None,
        "count": sum(counts.values()),
    }
    email = {
        "label": _("Email"),
        "url": url_for("mailings.index", channel="email"),
        "open": channel == "email",
        "count": counts.get("email", 0),
        "channel": "email",
    }
    return [everything, email]


def _channels() -> list[tuple[str, str]]:
    with current.session() as session:
        mine = current.plugins.for_tenant(session, current.tenant_id)
    return [(spec.name, translated(spec.label)) for spec in mine.channels.values()]
