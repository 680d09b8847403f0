"""The tracking process: opens, clicks and unsubscribing, as a bare WSGI application.

It stands apart from the pages, so that a mailing's readers and its marketers never wait for
each other. It knows no sessions and sets no cookies; whatever is not genuine gets one 404.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from envoi.api.app import PATH as API_PATH
from envoi.api.app import Api
from envoi.db import Database
from envoi.feedback.webhook import MOST_BYTES as WEBHOOK_BYTES
from envoi.feedback.webhook import PATH as WEBHOOK_PATH
from envoi.feedback.webhook import Webhooks
from envoi.installation import open_installation
from envoi.library.addresses import PATH
from envoi.operations.metrics import WEBHOOKS
from envoi.operations.reporter import Reporter
from envoi.plugins import Plugins
from envoi.secrets import with_secret_key
from envoi.settings import Settings, load_settings
from envoi.tracking.answers import (
    NOTHING_HERE,
    PIXEL,
    REPORTED,
    TOO_LARGE,
    TRY_LATER,
    Answer,
    Environ,
    answer,
)
from envoi.tracking.classify import Mark
from envoi.tracking.forms import body_of, request_of
from envoi.tracking.hits import HitWriter
from envoi.tracking.ledger import Hit
from envoi.tracking.links import FrozenLinks, lead_to
from envoi.tracking.models import EventKind
from envoi.tracking.pictures import Pictures
from envoi.tracking.preferences import Preferences
from envoi.tracking.public_pages import PublicPages
from envoi.tracking.tokens import InvalidTokenError, Token, TokenKind, TokenSigner, signer_of
from envoi.tracking.unsubscribe import Unsubscribing
from envoi.tracking.urls import PATHS, SHORT_PATH, TARGET_PARAMETER
from envoi.tracking.web_version import WebVersions

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

log = structlog.get_logger()

_Handler = Callable[[Environ, str], Answer]
_PREFETCH_HEADERS = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ")
_PREFETCH = re.compile("prefetch|preview|prerender", re.IGNORECASE)
_LONGEST_AGENT = 300
_AWAY = (OperationalError, InterfaceError, PoolTimeoutError)


class TrackingApp:
    """Answers the addresses in messages; `close` writes the hits that are still buffered."""

    def __init__(
        self,
        database: Database,
        signer: TokenSigner,
        plugins: Plugins,
        settings: Settings | None = None,
    ) -> None:
        self.hits = HitWriter(database)
        self._signer = signer
        self._links = FrozenLinks(database)
        self._pictures = Pictures(database)
        pages = PublicPages()
        self._unsubscribing = Unsubscribing(database, plugins, pages)
        self._preferences = Preferences(database, plugins, pages)
        self._webhooks = Webhooks(database, signer, plugins, settings or load_settings())
        self._web_versions = WebVersions(database, plugins, signer)
        style = Path(__file__).with_name("page.css").read_bytes()
        self._style = answer("200 OK", "text/css", style)
        self._reading: dict[str, _Handler] = {
            PATHS[TokenKind.OPEN]: self._open,
            PATHS[TokenKind.CLICK]: self._click,
            SHORT_PATH: self._short_click,
            PATHS[TokenKind.VIEW]: self._view,
            PATH: lambda _, rest: self._pictures(rest),
        }
        self._acting: dict[str, _Handler] = {
            PATHS[TokenKind.UNSUBSCRIBE]: self._unsubscribe,
            PATHS[TokenKind.PREFERENCES]: self._prefer,
            WEBHOOK_PATH: self._report,
            API_PATH: Api(database, signer, plugins),
        }

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
        path = environ["PATH_INFO"]
        end = path.find("/", 1) + 1
        first, rest = path[:end], path[end:]
        method = environ["REQUEST_METHOD"]
        if method in ("GET", "HEAD") and (read := self._reading.get(first)):
            return read(environ, rest)
        if act := self._acting.get(first):
            return act(environ, rest)
        return self._style if path == "/page.css" else NOTHING_HERE

    def _report(self, environ: Environ, key: str) -> Answer:
        status = 401
        # The body of a stranger is not waited for: it might never end.
        if self._webhooks.is_known(key):
            body = body_of(environ, WEBHOOK_BYTES)
            if body is None:
                return TOO_LARGE
            status = self._webhooks(key, request_of(environ, body))
        WEBHOOKS.add(1, status)
        return REPORTED[status]

    def _open(self, environ: Environ, rest: str) -> Answer:
        self._add(environ, self._read(rest.removesuffix(".gif"), TokenKind.OPEN), EventKind.OPEN)
        return PIXEL

    def _unsubscribe(self, environ: Environ, rest: str) -> Answer:
        return self._unsubscribing(environ, self._read(rest, TokenKind.UNSUBSCRIBE).message)

    def _prefer(self, environ: Environ, rest: str) -> Answer:
        return self._preferences(environ, self._read(rest, TokenKind.PREFERENCES).message)

    def _view(self, environ: Environ, text: str) -> Answer:
        token = self._read(text, TokenKind.VIEW)
        self._add(environ, token, EventKind.VIEW)
        return self._web_versions(token.message)

    def _click(self, environ: Environ, text: str) -> Answer:
        query = environ.get("QUERY_STRING")
        personal = parse_qs(query).get(TARGET_PARAMETER, [""])[0] if query else ""
        token = self._read(text, TokenKind.CLICK, personal)
        return self._follow(environ, token, personal)

    def _short_click(self, environ: Environ, code: str) -> Answer:
        click = self._signer.read_code(code)
        message = self._links.message(click)
        return self._follow(environ, Token(TokenKind.CLICK, message, click.link))

    def _follow(self, environ: Environ, token: Token, personal: str = "") -> Answer:
        found = lead_to(personal) if personal else self._links.answer(token.message, token.link)
        if found is not NOTHING_HERE:
            self._add(environ, token, EventKind.CLICK, token.link)
        return found

    def _read(self, text: str, kind: TokenKind, target: str = "") -> Token:
        token = self._signer.read(text, target)
        if token.kind is not kind:
            raise InvalidTokenError
        return token

    def _add(
        self, environ: Environ, token: Token, kind: EventKind, link: int | None = None
    ) -> None:
        agent = _plain(environ.get("HTTP_USER_AGENT", "")[:_LONGEST_AGENT])
        ip = environ.get("REMOTE_ADDR", "")
        at = datetime.now(UTC)
        self.hits.add(Hit(token.message, kind, at, link, _marks(environ), ip, agent))


@lru_cache(4_096)
def _plain(agent: str) -> str:
    """An agent without what a database cannot hold."""
    return agent.encode("ascii", "replace").decode("ascii").replace("\0", "")


def _marks(environ: Environ) -> Mark:
    marks = Mark.HEAD if environ["REQUEST_METHOD"] == "HEAD" else Mark.NONE
    for header in _PREFETCH_HEADERS:
        if header in environ and _PREFETCH.search(environ[header]):
            return marks | Mark.PREFETCH
    return marks


def application() -> TrackingApp:
    """Make the application of a serving process; its end writes what is buffered."""
    settings = with_secret_key(load_settings())
    installation = open_installation(settings)
    app = TrackingApp(installation.database, signer_of(settings), installation.plugins, settings)
    # Servers fork their workers, and forked processes end without `atexit`, but not without this.
    Finalize(None, app.close, exitpriority=10)
    reporter = Reporter(installation, "tracking", app.hits.waiting)
    reporter.start()
    # After the last hits are written, so that they are counted.
    Finalize(None, reporter.close, exitpriority=5)
    # Everything made so far stays: looking through it for garbage again and again took a sixth
    # of a hit's time, and stopped all hits meanwhile.
    gc.collect()
    gc.freeze()
    return app
