"""Counts and times every request, and names it in what is logged meanwhile."""

from __future__ import annotations

import secrets
from time import perf_counter

from flask import Flask, Response, g, request
from structlog.contextvars import bind_contextvars, clear_contextvars

from envoi.operations.metrics import REQUEST_SECONDS, REQUESTS


def init_app(app: Flask) -> None:
    """Observe from before the first guard to after the last header."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_forget)


def bind_employee(tenant_id: int, account_id: int) -> None:
    """Name the company and the account in what the rest of the request logs."""
    bind_contextvars(tenant=tenant_id, account=account_id)
    names = {name.removesuffix("_id"): value for name, value in _ids().items()}
    bind_contextvars(**names)


def _ids() -> dict[str, int]:
    """The numbers in the address, such as a mailing's; they are what most questions are about."""
    found = request.view_args or {}
    return {n: v for n, v in found.items() if n.endswith("_id") and isinstance(v, int)}


def _begin() -> None:
    clear_contextvars()
    g.began = perf_counter()
    bind_contextvars(request=secrets.token_hex(8))


def _end(response: Response) -> Response:
    endpoint = request.endpoint or "none"
    REQUESTS.add(1, endpoint, response.status_code)
    if "began" in g:
        REQUEST_SECONDS.observe(perf_counter() - g.began, endpoint)
    return response


def _forget(error: BaseException | None) -> None:  # noqa: ARG001 (Flask's signature)
    clear_contextvars()
