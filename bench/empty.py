"""`python -m bench.empty PORT`: the server of tracking around an application that does nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from envoi.settings import load_settings
from envoi_web.cli import HIT_THREADS, serve

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse


def application() -> Any:
    """Make the application, as the server asks for one."""
    return empty


def empty(environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:  # noqa: ARG001
    """Answer with nothing."""
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "0")])
    return [b""]


if __name__ == "__main__":
    serve("bench.empty:application", load_settings(), int(sys.argv[1]), 1, HIT_THREADS)
