"""What processes write about themselves: one line an event, JSON unless a person looks on.

What a line is about travels in context variables (`structlog.contextvars`): the request, the
company, a mailing, a run. Addresses and secrets are taken out of every line, whoever wrote it:
the words of a database, a provider or a plugin could hold anything.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from contextlib import suppress
from io import TextIOBase
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

ADDRESS = "(address)"
HIDDEN = "(hidden)"

_LEAST_SECRET = 6
"""Shorter ones would hide ordinary words, and are no secrets."""
_secrets: set[str] = set()

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What would move the cursor of whoever looks on, or turn the line around."""
_CREDENTIALS = re.compile(r"://[^\s/@]*@")
_EMAIL = re.compile(r"[^\s<>(),;]*@[\w-]+(?:\.[\w-]+)+")
_PHONE = re.compile(r"\+\d[\d ()-]{6,}\d")
_DETAIL = re.compile(r"^(DETAIL|CONTEXT|QUERY|STATEMENT): .*$", re.MULTILINE)
"""Where PostgreSQL quotes values: `Key (email)=(...) already exists.`"""


def hide(*secrets: str) -> None:
    """Keep these values out of everything that this process logs from now on."""
    _secrets.update(secret for secret in secrets if len(secret) >= _LEAST_SECRET)


def without_secrets(text: str) -> str:
    """Return a text without the secrets that this process knows, for what is kept and shown."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def masked(text: str) -> str:
    """Return a text without known secrets, passwords in URLs, addresses, phones and controls."""
    text = without_secrets(text)
    text = _CREDENTIALS.sub(f"://{HIDDEN}@", text)
    text = _DETAIL.sub(rf"\1: {HIDDEN}", text)
    return _CONTROLS.sub("\ufffd", _PHONE.sub(ADDRESS, _EMAIL.sub(ADDRESS, text)))


class _Lossy(TextIOBase):
    """Standard error, without what cannot be written to it: a full disk stops no work."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()


def configure_logs(form: str | None = None) -> None:
    """Write log lines to standard error; tracebacks without the values of variables.

    Args:
        form: json or text; what ENVOI_LOG_FORMAT says if it is not given.
    """
    form = form if form is not None else os.environ.get("ENVOI_LOG_FORMAT", "")
    about: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _mask,
    ]
    renderer = _renderer(form or ("text" if sys.stderr.isatty() else "json"))
    structlog.configure(
        processors=[*about, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Lossy())),
    )
    _configure_libraries(about, renderer)


def _renderer(form: str) -> Processor:
    if form == "text":
        return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    return structlog.processors.JSONRenderer(ensure_ascii=False)


def _configure_libraries(about: list[Processor], renderer: Processor) -> None:
    """What libraries say by `logging` has the same form, if it is a warning at least."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *about],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _mask(logger: WrappedLogger, name: str, line: EventDict) -> EventDict:  # noqa: ARG001
    known = ((key, value) for key, value in line.items() if value is not None)
    return {key: value if key == "timestamp" else _without(value) for key, value in known}


def _without(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {_without(key): _without(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_without(inner) for inner in value]
    return masked(str(value))
