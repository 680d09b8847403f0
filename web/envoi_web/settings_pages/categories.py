"""Mailing categories: the list with editing in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flask import Response, request, url_for
from flask_babel import gettext as _

from envoi.errors import Problem, ValidationFailedError
from envoi.subscriptions.categories import delete_category, get_category, save_category
from envoi.subscriptions.queries import list_categories
from envoi.webkit import current, page, permission, see_other, toast
from envoi_web.settings_pages.blueprint import settings

FIELDS = ("code", "name", "description")


@settings.get("/categories")
@permission("categories.edit")
def categories() -> Response:
    """List the categories and offer to add one."""
    return _page(None, {})


@settings.get("/categories/<int:category_id>")
@permission("categories.edit")
def category(category_id: int) -> Response:
    """Show the list with one category open for editing."""
    with current.session() as session:
        found = get_category(session, current.tenant_id, category_id)
    values = {name: getattr(found, name) for name in (*FIELDS, "exempt")}
    return _page(category_id, values)


@settings.post("/categories")
@permission("categories.edit")
def add_category() -> Response:
    """Make a category."""
    return _save(None)


@settings.post("/categories/<int:category_id>")
@permission("categories.edit")
def change_category(category_id: int) -> Response:
    """Change a category."""
    return _save(category_id)


@settings.post("/categories/<int:category_id>/delete")
@permission("categories.edit")
def remove_category(category_id: int) -> Response:
    """Take a category out of use."""
    with current.session() as session:
        delete_category(session, current.tenant_id, category_id)
    toast(_("Category deleted. What customers decided about it stays on record."))
    return see_other(url_for("settings.categories"))


def _save(category_id: int | None) -> Response:
    values = {name: request.form.get(name, "") for name in FIELDS}
    given = values | {"exempt": request.form.get("exempt") == "1"}
    try:
        with current.session() as session:
            save_category(session, current.tenant_id, category_id, **given)
    except ValidationFailedError as error:
        return _page(category_id, given, error.problems)
    toast(_("Category saved."))
    return see_other(url_for("settings.categories"))


def _page(
    open_id: int | None, values: Mapping[str, object], problems: Sequence[Problem] = ()
) -> Response:
    with current.session() as session:
        found = list_categories(session, current.tenant_id)
    return page(
        "settings/categories.html",
        status=422 if problems else 200,
        categories=found,
        open_id=open_id,
        values=values,
        problems=problems,
        errors={problem.field: problem.message for problem in problems},
    )
