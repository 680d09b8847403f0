"""Keys of the API: the list, making one, which is shown once, and revoking."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response, request, url_for
from flask_babel import gettext as _

from envoi.api.keys import keys_of, make_key, revoke
from envoi.errors import Problem, ValidationFailedError
from envoi.webkit import current, page, permission, see_other, toast
from envoi_web.settings_pages.blueprint import settings


@settings.get("/api-keys")
@permission("settings.api_keys")
def api_keys() -> Response:
    """List the keys and offer to make one."""
    return _page()


@settings.post("/api-keys")
@permission("settings.api_keys")
def add_api_key() -> Response:
    """Make a key and show it; nobody can read it again, so this page leads nowhere else."""
    name = request.form.get("name", "")
    try:
        with current.session() as session:
            made = make_key(session, current.tenant_id, name, current.account_id)
    except ValidationFailedError as error:
        return _page(name, problems=error.problems)
    return _page(made=made)


@settings.post("/api-keys/<int:key_id>/revoke")
@permission("settings.api_keys")
def revoke_api_key(key_id: int) -> Response:
    """Let a key open nothing any more."""
    with current.session() as session:
        revoke(session, current.tenant_id, key_id)
    toast(_("Key revoked."))
    return see_other(url_for("settings.api_keys"))


def _page(name: str = "", made: str = "", problems: Sequence[Problem] = ()) -> Response:
    with current.session() as session:
        found = keys_of(session, current.tenant_id)
    return page(
        "settings/api_keys.html",
        status=422 if problems else 200,
        keys=found,
        name=name,
        made=made,
        problems=problems,
        errors={problem.field: problem.message for problem in problems},
    )
