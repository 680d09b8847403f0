"""Reads the small forms of public pages; what cannot be read counts as empty."""

from __future__ import annotations

from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request

from envoi.tracking.answers import Environ

_LONGEST_FORM = 64 * 1024


def form_of(environ: Environ) -> MultiDict[str, str]:
    """Read the body, urlencoded or multipart."""
    request = Request(environ)
    request.max_content_length = request.max_form_memory_size = _LONGEST_FORM
    try:
        return request.form
    except HTTPException:
        return MultiDict()
