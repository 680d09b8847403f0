"""Reads what is sent to public pages, never more than they take."""

from __future__ import annotations

from urllib.parse import parse_qsl

from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request

from envoi.tracking.answers import Environ
from envoi.types import WebhookRequest

_LONGEST_FORM = 64 * 1024


def form_of(environ: Environ) -> MultiDict[str, str]:
    """Read a small form, urlencoded or multipart; what cannot be read counts as empty."""
    request = Request(environ)
    request.max_content_length = request.max_form_memory_size = _LONGEST_FORM
    try:
        return request.form
    except HTTPException:
        return MultiDict()


def body_of(environ: Environ, longest: int) -> bytes | None:
    """Read a body as it came; None when it is longer."""
    request = Request(environ)
    request.max_content_length = longest
    try:
        return request.get_data(cache=False)
    except HTTPException:
        return None


def request_of(environ: Environ, body: bytes) -> WebhookRequest:
    """A request as a provider's function is given it; of a name sent twice the first counts."""
    sent = environ.get("QUERY_STRING", "")
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
    }
    query = dict(reversed(parse_qsl(sent, keep_blank_values=True)))
    return WebhookRequest(method=environ["REQUEST_METHOD"], headers=headers, query=query, body=body)
