"""Permissions of views: declared on each view, closed by default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode

import structlog
from flask import Flask, Response, current_app, redirect, request, url_for

from envoi.accounts.permissions import OWN_ONLY, PERMISSIONS, allows
from envoi.errors import ForbiddenError, NotFoundError
from envoi.webkit import htmx, observing
from envoi.webkit.current import current

log = structlog.get_logger(__name__)

PUBLIC = "public"
View = TypeVar("View", bound=Callable[..., Any])
_MARK = "envoi_access"


def permission(name: str) -> Callable[[View], View]:
    """Declare the permission that an employee's role needs for this view."""
    if name not in PERMISSIONS:
        raise ValueError(f"there is no permission {name!r}; see envoi.accounts.permissions")

    def declare(view: View) -> View:
        setattr(view, _MARK, name)
        return view

    return declare


def public(view: View) -> View:
    """Open a view to everybody, signed in or not."""
    setattr(view, _MARK, PUBLIC)
    return view


def allowed(name: str) -> bool:
    """Tell whether the employee's role includes a permission; for what a page shows."""
    employee = current.employee
    return employee is not None and allows(employee.role, name)


def require(name: str) -> None:
    """Stop with 403 unless the role includes a permission; for what a view does in parts."""
    if not allowed(name):
        raise ForbiddenError(
            "Your role does not include this. An administrator can change your role."
        )


def allowed_author(name: str, account_id: int | None) -> bool:
    """Tell whether the role includes a permission for what this account made."""
    employee = current.employee
    if employee is None or not allows(employee.role, name):
        return False
    return (employee.role, name) not in OWN_ONLY or account_id == employee.account_id


def require_author(name: str, account_id: int | None) -> None:
    """Stop with 403 where the role may do this only with what the employee made."""
    require(name)
    if not allowed_author(name, account_id):
        raise ForbiddenError(
            "Your role includes this only for what you made yourself. Ask a senior marketer."
        )


def access_of(app: Flask, endpoint: str) -> str | None:
    """Return the permission an endpoint declares, `PUBLIC`, or None where nothing is declared."""
    if endpoint == "static" or endpoint.endswith(".static"):
        return PUBLIC
    declared: dict[str, str] = app.extensions["envoi.access"]
    if endpoint in declared:
        return declared[endpoint]
    return getattr(app.view_functions[endpoint], _MARK, None)


def init_app(app: Flask, declared: dict[str, str], switched: dict[str, str]) -> None:
    """Guard every request.

    Args:
        app: The pages' application.
        declared: The access of views that are not ours to decorate, by endpoint.
        switched: The plugin of each blueprint that a company must have switched on.
    """
    app.extensions["envoi.access"] = declared
    app.extensions["envoi.switched"] = switched
    app.before_request(_guard)


def _guard() -> Response | None:
    if request.endpoint is None:
        return None
    access = access_of(current_app, request.endpoint)
    if access == PUBLIC:
        return None
    if access is None:
        log.error("a view declares no permission", endpoint=request.endpoint)
        raise ForbiddenError("This page declares no permission, so nobody may see it.")
    if current.employee is None:
        return _sign_in_first()
    observing.bind_employee(current.tenant_id, current.employee.account_id)
    require(access)
    _require_switched_on()
    return None


def _require_switched_on() -> None:
    """For a company without the plugin, its pages do not exist."""
    switched: dict[str, str] = current_app.extensions["envoi.switched"]
    wanted = {switched[name] for name in request.blueprints if name in switched}
    missing = [name for name in wanted if not current.has_plugin(name)]
    if missing:
        raise NotFoundError(
            f"The plugin {', '.join(sorted(missing))} is off for this company."
            " An administrator can switch it on."
        )


def _sign_in_first() -> Response:
    """Send a person to the sign-in page and back; tell a script, which must not follow."""
    if htmx.is_fragment():
        return Response("", 401, {"HX-Trigger": "envoi:signed-out", "HX-Reswap": "none"})
    back = urlencode({"next": request.full_path.rstrip("?")}) if request.method == "GET" else ""
    response = redirect(url_for("security.login") + (f"?{back}" if back else ""))
    return Response(response.get_data(), response.status_code, response.headers)
