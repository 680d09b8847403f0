"""Watcher groups: the list, making, changing and deleting one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flask import Response, request, url_for
from flask_babel import gettext as _

from envoi.errors import Problem, ValidationFailedError
from envoi.tenants.watchers import (
    KINDS,
    delete_watcher_group,
    get_watcher_group,
    list_watcher_groups,
    save_watcher_group,
)
from envoi.webkit import current, page, permission, see_other, toast
from envoi_web.settings_pages.blueprint import settings


@settings.get("/watchers")
@permission("watchers.edit")
def watchers() -> Response:
    """List the groups."""
    with current.session() as session:
        groups = list_watcher_groups(session, current.tenant_id)
    return page("settings/watchers.html", groups=groups)


@settings.get("/watchers/new")
@permission("watchers.edit")
def new_watchers() -> Response:
    """Show the form of a new group."""
    return _form(None, "", dict.fromkeys(KINDS, ""))


@settings.get("/watchers/<int:group_id>")
@permission("watchers.edit")
def watcher_group(group_id: int) -> Response:
    """Show a group."""
    with current.session() as session:
        group = get_watcher_group(session, current.tenant_id, group_id)
    return _form(group_id, group.name, {kind: "\n".join(getattr(group, kind)) for kind in KINDS})


@settings.post("/watchers/new")
@permission("watchers.edit")
def create_watchers() -> Response:
    """Make a group."""
    return _save(None)


@settings.post("/watchers/<int:group_id>")
@permission("watchers.edit")
def save_watchers(group_id: int) -> Response:
    """Change a group."""
    return _save(group_id)


@settings.post("/watchers/<int:group_id>/delete")
@permission("watchers.edit")
def delete_watchers(group_id: int) -> Response:
    """Delete a group that nothing uses."""
    with current.session() as session:
        delete_watcher_group(session, current.tenant_id, group_id)
    toast(_("Group deleted."))
    return see_other(url_for("settings.watchers"))


def _save(group_id: int | None) -> Response:
    name = request.form.get("name", "")
    typed = {kind: request.form.get(kind, "").replace("\r\n", "\n") for kind in KINDS}
    with current.session() as session:
        try:
            save_watcher_group(
                session,
                current.tenant_id,
                group_id,
                name=name,
                addresses={kind: lines.splitlines() for kind, lines in typed.items()},
            )
        except ValidationFailedError as error:
            return _form(group_id, name, typed, error.problems)
    toast(_("Group saved."))
    return see_other(url_for("settings.watchers"))


def _form(
    group_id: int | None, name: str, typed: Mapping[str, str], problems: Sequence[Problem] = ()
) -> Response:
    return page(
        "settings/watcher_group.html",
        status=422 if problems else 200,
        group_id=group_id,
        name=name,
        typed=typed,
        problems=problems,
        errors={problem.field: problem.message for problem in problems},
        crumbs=[
            (_("Settings"), ""),
            (_("Watchers"), url_for("settings.watchers")),
            (name[:60] if group_id else _("New group"), ""),
        ],
    )
