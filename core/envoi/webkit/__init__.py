"""What pages are made with: permissions, pages and fragments, toasts, the employee.

pages = Blueprint("polls", __name__, template_folder="templates", url_prefix="/polls")

@pages.get("/")
@permission("polls.view")
def index() -> Response:
    with current.session() as session:
        return page("polls/index.html", fragments=("rows",), polls=polls(session))
"""

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext, ngettext

from envoi.webkit.access import allowed, allowed_author, permission, public, require, require_author
from envoi.webkit.current import Company, Employee, current
from envoi.webkit.htmx import respond, see_other, toast
from envoi.webkit.pages import Paging, fragment, page, page_url, paging_of, parts, rows_per_page

__all__ = [
    "Blueprint",
    "Company",
    "Employee",
    "Paging",
    "Response",
    "allowed",
    "allowed_author",
    "current",
    "fragment",
    "gettext",
    "ngettext",
    "page",
    "page_url",
    "paging_of",
    "parts",
    "permission",
    "public",
    "request",
    "require",
    "require_author",
    "respond",
    "rows_per_page",
    "see_other",
    "toast",
    "url_for",
]
