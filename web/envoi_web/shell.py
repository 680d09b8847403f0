"""The blueprint every page stands on: base template, components, static files, the menu."""

from __future__ import annotations

from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _

from envoi.accounts.permissions import Role
from envoi.accounts.queries import companies_of
from envoi.webkit import Blueprint, current, page, permission, see_other
from envoi_web.help.topics import topic_of
from envoi_web.menu import first_page, menu_for, places
from envoi_web.samples import samples

shell = Blueprint("shell", __name__, template_folder="templates", static_folder="static")


@shell.app_context_processor
def _frame() -> dict[str, Any]:
    """What `base.html` needs on every page."""
    employee = current.employee
    several = employee is not None and len(employee.tenant_ids) > 1
    return {
        "menu": menu_for(employee),
        "help_topic": topic_of(request.endpoint),
        "theme": employee.theme if employee else "system",
        "companies": companies_of(current.database, employee.account_id)
        if employee and several
        else [],
    }


shell.add_app_template_filter(places)


@shell.app_template_filter()
def role_name(role: Role) -> str:
    """The word for a role in the employee's language."""
    names: dict[Role, str] = {
        Role.ADMINISTRATOR: _("Administrator"),
        Role.SENIOR_MARKETER: _("Senior marketer"),
        Role.MARKETER: _("Marketer"),
        Role.DESIGNER: _("Designer"),
        Role.ANALYST: _("Analyst"),
        Role.OPERATOR: _("Operator"),
        Role.API: _("API"),
    }
    return names[role]


@shell.get("/")
@permission("own.settings")
def home() -> Response:
    """Lead to the first section that the role may see."""
    return see_other(first_page(current.employee))


@shell.get("/components")
@permission("own.settings")
def components() -> Response:
    """Show every component with sample data: the pattern page."""
    return page("shell/components.html", **samples(url_for("shell.components")))
