"""The page of one's exports, and the download of a file."""

from __future__ import annotations

import re

from flask import Response, send_file
from flask_babel import gettext as _

from envoi.exports.kinds import AUDIENCE_CUSTOMERS, MAILING_CUSTOMERS, SEGMENT_CUSTOMERS
from envoi.exports.models import ExportState
from envoi.exports.service import export_file, export_status, list_exports
from envoi.webkit import Blueprint, current, page, permission

exports = Blueprint("exports", __name__, url_prefix="/exports")

_NOT_IN_NAMES = re.compile(r"[^\w -]+")


@exports.get("/")
@permission("customers.export")
def index() -> Response:
    """List one's exports with their progress; asked again while one is being written."""
    with current.session() as session:
        listed = list_exports(session, current.tenant_id, current.account_id)
    unfinished = (ExportState.WAITING, ExportState.RUNNING)
    return page(
        "exports/list.html",
        fragments=("export_rows",),
        exports=listed,
        kinds=kind_words(),
        unfinished=any(export.state in unfinished for export in listed),
        crumbs=[(_("Customers"), ""), (_("Exports"), "")],
    )


@exports.get("/<int:export_id>/file.csv")
@permission("customers.export")
def download(export_id: int) -> Response:
    """Hand out one's file."""
    with current.session() as session:
        asked = (session, current.tenant_id, export_id, current.account_id)
        status, path = export_status(*asked), export_file(*asked)
    name = _NOT_IN_NAMES.sub(" ", status.name).strip()[:80] or "export"
    return send_file(path, "text/csv", as_attachment=True, download_name=f"{name}.csv")


def kind_words() -> dict[str, str]:
    """What each kind of export is of."""
    return {
        SEGMENT_CUSTOMERS: _("Customers of a segment"),
        AUDIENCE_CUSTOMERS: _("Customers of a target audience"),
        MAILING_CUSTOMERS: _("Customers of a mailing"),
    }
