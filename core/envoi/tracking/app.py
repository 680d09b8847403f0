"""The tracking process: opens, clicks and unsubscribing, as a bare WSGI application.

It stands apart from the pages, so that a mailing's readers and its marketers never wait for
each other. It knows no sessions and sets no cookies; whatever is not genuine gets one 404.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.urls import iri_to_uri

from envoi.db import Database
from envoi.installation import open_installation
from envoi.library.addresses import PATH
from envoi.plugins import Plugins
from envoi.secrets import with_secret_key
from envoi.settings import load_settings
from envoi.tracking.answers import (
    NOTHING_HERE,
    PIXEL,
    TRY_LATER,
    Answer,
    Environ,
    answer,
    redirect,
)
from envoi.tracking.classify import Mark
from envoi.tracking.hits import HitWriter
from envoi.tracking.ledger import Hit
from envoi.tracking.links import FrozenLinks
from envoi.tracking.models import EventKind
from envoi.tracking.pictures import Pictures
from envoi.tracking.preferences import Preferences
from envoi.tracking.public_pages import PublicPages
from envoi.tracking.tokens import InvalidTokenError, Token, TokenKind, TokenSigner, signer_of
from envoi.tracking.unsubscribe import Unsubscribing
from envoi.tracking.urls import PATHS, TARGET_PARAMETER
from envoi.tracking.web_version import WebVersions

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

log = structlog.get_logger()

_KINDS = {path.strip("/"): kind for kind, path in PATHS.items()}
_WEB = re.compile(r"https?://[^\s\x00-\x1f\x7f]+\Z", re.IGNORECASE)
_PREFETCH_HEADERS = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ")
_LONGEST_AGENT = 300
_AWAY = (OperationalError, InterfaceError, PoolTimeoutError)


class TrackingApp:
    """Answers the addresses in messages; `close` writes the hits that are still buffered."""

    def __init__(self, database: Database, signer: TokenSigner, plugins: Plugins) -> None:
        self.hits = HitWriter(database)
        self._signer = signer
        self._links = FrozenLinks(database)
        self._pictures = Pictures(database)
        pages = PublicPages()
        self._unsubscribing = Unsubscribing(database, plugins, pages)
        self._preferences = Preferences(database, plugins, pages)
        self._web_versions = WebVersions(database, plugins, signer)
        self._style = answer(
            "200 OK", "text/css", Path(__file__).with_name("page.css").read_bytes()
        )

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; what goes wrong is a 404, or a 503 while the database is away."""
        try:
            found = self._answer(environ)
        except InvalidTokenError:
            found = NOTHING_HERE
        except _AWAY as error:
            log.warning("tracking_waits", error=str(error))
            found = TRY_LATER
        return found(environ, start_response)

    def close(self) -> None:
        """Write what is buffered and stop."""
        self.hits.close()

    def _answer(self, environ: Environ) -> Answer:
        first, _, rest = environ["PATH_INFO"].lstrip("/").partition("/")
        if first == "page.css":
            return self._style
        kind = _KINDS.get(first)
        reading = environ["REQUEST_METHOD"] in ("GET", "HEAD")
        if f"/{first}/" == PATH and reading:
            return self._pictures(rest)
        if kind is TokenKind.OPEN and reading:
            return self._open(environ, rest.removesuffix(".gif"))
        if kind is TokenKind.CLICK and reading:
            return self._click(environ, rest)
        if kind is TokenKind.UNSUBSCRIBE:
            return self._unsubscribing(environ, self._read(rest, kind).message)
        if kind is TokenKind.PREFERENCES:
            return self._preferences(environ, self._read(rest, kind).message)
        if kind is TokenKind.VIEW and reading:
            return self._view(environ, rest)
        return NOTHING_HERE

    def _open(self, environ: Environ, text: str) -> Answer:
        self._add(environ, self._read(text, TokenKind.OPEN), EventKind.OPEN)
        return PIXEL

    def _view(self, environ: Environ, text: str) -> Answer:
        token = self._read(text, TokenKind.VIEW)
        self._add(environ, token, EventKind.VIEW)
        return self._web_versions(token.message)

    def _click(self, environ: Environ, text: str) -> Answer:
        query = parse_qs(environ.get("QUERY_STRING", ""))
        personal = query.get(TARGET_PARAMETER, [""])[0]
        token = self._read(text, TokenKind.CLICK, personal)
        target = personal or self._frozen(token)
        if not target or not _WEB.match(target):
            return NOTHING_HERE
        try:
            location = iri_to_uri(target)
        except ValueError:
            # A template made an address that is none, such as http://[name.
            return NOTHING_HERE
        self._add(environ, token, EventKind.CLICK, token.link)
        return redirect(location)

    def _frozen(self, token: Token) -> str | None:
        ref = token.message
        return self._links.target(ref.tenant_id, ref.run_id, ref.variant, token.link)

    def _read(self, text: str, kind: TokenKind, target: str = "") -> Token:
        token = self._signer.read(text, target)
        if token.kind is not kind:
            raise InvalidTokenError
        return token

    def _add(
        self, environ: Environ, token: Token, kind: EventKind, link: int | None = None
    ) -> None:
        agent = environ.get("HTTP_USER_AGENT", "")[:_LONGEST_AGENT]
        self.hits.add(
            Hit(
                message=token.message,
                kind=kind,
                at=datetime.now(UTC),
                link=link,
                marks=_marks(environ),
                ip=environ.get("REMOTE_ADDR", ""),
                agent=agent.encode("ascii", "replace").decode("ascii").replace("\0", ""),
            )
        )


def _marks(environ: Environ) -> Mark:
    marks = Mark.HEAD if environ["REQUEST_METHOD"] == "HEAD" else Mark.NONE
    purpose = " ".join(environ.get(header, "") for header in _PREFETCH_HEADERS).lower()
    if "prefetch" in purpose or "preview" in purpose:
        marks |= Mark.PREFETCH
    return marks


def application() -> TrackingApp:
    """Make the application of a serving process; its end writes what is buffered."""
    settings = with_secret_key(load_settings())
    installation = open_installation(settings)
    app = TrackingApp(installation.database, signer_of(settings), installation.plugins)
    # Servers fork their workers, and forked processes end without `atexit`, but not without this.
    Finalize(None, app.close, exitpriority=10)
    return app
