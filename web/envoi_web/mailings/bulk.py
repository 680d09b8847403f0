"""Copying and deleting mailings, one or many; deleting is asked about first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Response, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy.orm import Session

from envoi.errors import NotFoundError
from envoi.mailings import queries, service
from envoi.mailings.queries import MailingRow
from envoi.mailings.status import FINISHED, STOPPABLE, Status
from envoi.webkit import allowed_author, current, page, permission, require_author, see_other, toast
from envoi_web.mailings.blueprint import mailings
from envoi_web.mailings.context import crumbs
from envoi_web.mailings.listing import STATUS_LABELS, list_url

MOST_AT_ONCE = max(queries.PAGE_SIZES)
STARTED = STOPPABLE | FINISHED
_LONGEST = 19
"""No number of a mailing has so many digits."""


@dataclass(frozen=True)
class Fate:
    """How many mailings of one status are deleted, and what that does (product.md, section 2)."""

    label: str
    count: int
    text: str


@mailings.post("/<int:mailing_id>/copy")
@permission("mailings.edit")
def copy(mailing_id: int) -> Response:
    """Make a copy and open it for editing."""
    with current.session() as session:
        [made] = service.copy_mailings(session, current.tenant_id, [mailing_id], current.account_id)
        made_id, name = made.id, made.name
    toast(_("%(name)s was made. Nothing is sent until you confirm it.", name=name))
    return see_other(url_for("mailings.who", mailing_id=made_id))


@mailings.post("/<int:mailing_id>/delete")
@permission("mailings.delete")
def delete(mailing_id: int) -> Response:
    """Delete a mailing; what is unsent of a running one does not leave any more."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        status = service.current_status(session, mailing)
        require_author(_permission_for(status), mailing.created_by)
        service.delete_mailing(session, current.tenant_id, mailing_id)
    toast(_("The mailing was deleted."))
    return see_other(url_for("mailings.index"))


@mailings.post("/copy")
@permission("mailings.edit")
def copy_many() -> Response:
    """Copy every chosen mailing."""
    with current.session() as session:
        rows = _chosen(session, request.form.getlist("id"))
        ids = [row.id for row in rows]
        service.copy_mailings(session, current.tenant_id, ids, current.account_id)
    toast(ngettext("%(num)s copy was made.", "%(num)s copies were made.", len(rows)))
    return see_other(list_url(request.form))


@mailings.get("/delete")
@permission("mailings.delete")
def ask_delete() -> Response:
    """Say what deleting the chosen mailings would do."""
    with current.session() as session:
        rows = _chosen(session, request.args.getlist("id"))
    mine = [row for row in rows if _may_delete(row)]
    return page(
        "mailings/delete.html",
        fragments=("ask",),
        rows=mine,
        kept=len(rows) - len(mine),
        fates=_fates(mine),
        back=list_url(request.args),
        crumbs=crumbs(_("Delete")),
    )


@mailings.post("/delete")
@permission("mailings.delete")
def delete_many() -> Response:
    """Delete the chosen mailings that the employee may delete."""
    with current.session() as session:
        rows = [r for r in _chosen(session, request.form.getlist("id")) if _may_delete(r)]
        for row in rows:
            service.delete_mailing(session, current.tenant_id, row.id)
    said = ngettext("%(num)s mailing was deleted.", "%(num)s mailings were deleted.", len(rows))
    toast(said)
    return see_other(list_url(request.form))


def _chosen(session: Session, numbers: Sequence[str]) -> list[MailingRow]:
    """Find the chosen mailings; raise `NotFoundError` where none is there (any more)."""
    ids = [int(n) for n in numbers if n.isascii() and n.isdigit() and len(n) < _LONGEST]
    rows = queries.mailings_by_id(session, current.tenant_id, ids[:MOST_AT_ONCE])
    if not rows:
        raise NotFoundError("No mailing is chosen. Choose one in the list, then try again.")
    return rows


def _permission_for(status: Status) -> str:
    return "mailings.cancel" if status in STARTED else "mailings.delete"


def _may_delete(row: MailingRow) -> bool:
    return allowed_author(_permission_for(row.status), row.created_by)


def _fates(rows: Sequence[MailingRow]) -> list[Fate]:
    counts = Counter(row.status for row in rows)
    return [
        Fate(str(STATUS_LABELS[status]), counts[status], _fate(status))
        for status in Status
        if status in counts
    ]


def _fate(status: Status) -> str:
    if status not in STARTED:
        return str(_("Has not started: nothing is delivered, and it is gone."))
    if status in STOPPABLE:
        return str(_("Unsent messages are cancelled. What has left stays counted."))
    return str(
        _("Disappears from the list. Its messages stay counted for attribution and frequency.")
    )
