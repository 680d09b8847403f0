"""The blueprint of reports and the places above them."""

from __future__ import annotations

from flask import url_for
from flask_babel import gettext as _

from envoi.webkit import Blueprint
from envoi_web.mailings.context import channel_crumb

reports = Blueprint("reports", __name__, url_prefix="/mailings")


def crumbs(channel: str = "") -> list[tuple[str, str]]:
    """The places above every report."""
    return [(_("Mass messaging"), url_for("mailings.index")), *channel_crumb(channel)]
