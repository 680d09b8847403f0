"""The one module around htmx-flask, whose faults it repairs.

htmx-flask 0.1.0 refuses `beforebegin` and `afterbegin` (a missing comma joins them), refuses
swap modifiers such as `innerHTML show:top`, and sends no `Vary`.
"""

from __future__ import annotations

import json
from typing import Any

from flask import Flask, Response, flash, get_flashed_messages, redirect
from htmx_flask import Htmx, request
from htmx_flask import make_response as htmx_response

VARY = ("HX-Request", "HX-Target", "HX-Boosted", "HX-History-Restore-Request")
_TOAST = "toast"


def init_app(app: Flask) -> None:
    """Make `request.htmx` available and let toasts travel with fragments."""
    Htmx(app)
    app.after_request(_send_toasts)


def is_fragment() -> bool:
    """Tell whether the browser will put the answer into a part of the page."""
    htmx = request.htmx
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def target() -> str:
    """Return the id of the element that the answer goes into, empty without one."""
    return request.htmx.target or ""


def respond(body: str, status: int = 200, *, reswap: str | None = None, **headers: Any) -> Response:
    """Make a response with htmx headers (`trigger`, `retarget`, `push_url`, ... of htmx-flask)."""
    response: Response = htmx_response(body, status, **headers)
    if reswap:
        response.headers["HX-Reswap"] = reswap
    response.vary.update(VARY)
    return response


def see_other(url: str) -> Response:
    """Answer a successful POST: 303, or a whole new page where a script asked."""
    if is_fragment():
        return respond("", 204, redirect=url)
    response = redirect(url, 303)
    return Response(response.get_data(), 303, response.headers)


def toast(message: str, *, action: tuple[str, str] | None = None) -> None:
    """Show one line at the bottom of the next answer; never for errors.

    Args:
        message: What was done, as a sentence.
        action: A link's label and address, for example "Open the copy".
    """
    label, url = action or ("", "")
    flash(json.dumps({"message": message, "label": label, "url": url}), _TOAST)


def pending_toasts() -> list[dict[str, str]]:
    """Take the toasts that have not been shown yet."""
    return [json.loads(str(text)) for text in get_flashed_messages(category_filter=[_TOAST])]


def _send_toasts(response: Response) -> Response:
    shown_now = (
        is_fragment() and response.status_code == 200 and "HX-Redirect" not in response.headers
    )
    if not shown_now or "HX-Trigger" in response.headers:
        return response
    if toasts := pending_toasts():
        response.headers["HX-Trigger"] = json.dumps({"envoi:toast": {"toasts": toasts}})
    return response
