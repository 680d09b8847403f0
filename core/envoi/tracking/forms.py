"""Reads what is sent to public pages, never more than they take."""

from __future__ import annotations

from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request

from envoi.tracking.answers import Environ

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
