"""One HTTP client for every provider: where it may go, how long it waits, how much it reads."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from envoi.errors import PermanentProviderError, UnansweredError
from envoi.outgoing.addresses import connect
from envoi.outgoing.tls import unreachable

if TYPE_CHECKING:
    from httpcore import ConnectionPool, Response

MOST_BYTES = 1024 * 1024
"""What is read of an answer; nobody has more to say about 500 messages."""

_SHOWN = 2_000
_URL_SAFE = "!#$%&'()*+,/:;=?@[]~"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer as it came; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text; what is no UTF-8 is shown as such."""
        return self.body.decode(errors="replace")

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        """The body as a JSON object; empty where it is none."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def raw(self) -> str:
        """The answer for people, cut where nobody reads on."""
        known = {each.value: each.phrase for each in HTTPStatus}
        return f"HTTP {self.status} {known.get(self.status, '')}\n{self.text[:_SHOWN]}".strip()

    @property
    def retry_after(self) -> float | None:
        """The seconds that the server asks us to wait, if it does."""
        asked = self.headers.get("retry-after", "").strip()
        if asked.isdecimal():
            return float(asked[:6])
        try:
            at = parsedate_to_datetime(asked)
        except (ValueError, OverflowError):
            return None
        return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _now()).total_seconds())


class HttpClient:
    """Kept connections to a server, for any number of threads.

    It follows no redirect, knows no proxy, keeps no cookie, unpacks nothing, and leads into no
    private network where companies share an installation.

    Args:
        timeout: Seconds to connect, and for the whole answer.
        tls: How certificates are checked; by the authorities of this machine unless given.
        connections: How many are open at the same time at most.
    """

    def __init__(
        self,
        *,
        timeout: float = 30.0,
        tls: ssl.SSLContext | None = None,
        connections: int = 10,
    ) -> None:
        # Loading the library takes a tenth of a second, which most processes need not wait for.
        from envoi.outgoing.pool import Deadline, make_pool

        self._timeout, self._deadline = timeout, Deadline()
        context = tls or ssl.create_default_context()
        self._pool: ConnectionPool = make_pool(context, connections, self._deadline)

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        content: bytes = b"",
    ) -> Answer:
        """Send a request and return the answer, whatever its status.

        Raises:
            UnansweredError: It may have been taken, and no complete answer came.
            ProviderError: It has not left.
        """
        import httpcore

        try:
            return self._exchange(method, url, headers, content)
        except (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout) as error:
            raise unreachable(_place(url), error) from error
        except (httpcore.UnsupportedProtocol, httpcore.LocalProtocolError, ValueError) as error:
            raise _no_address(url, error) from error
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            raise UnansweredError(
                f"{_place(url)} has not answered: {str(error) or type(error).__name__}"
            ) from error

    def reach(self, url: str) -> None:
        """See whether a server is there; raise `ProviderError` where it is not."""
        try:
            found = urlsplit(url)
            port = found.port or (443 if found.scheme == "https" else 80)
            connect(found.hostname or "", port, self._timeout).close()
        except (OSError, UnicodeError) as error:
            raise unreachable(_place(url), error) from error
        except ValueError as error:
            raise _no_address(url, error) from error

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | Iterable[tuple[str, str]],
        content: bytes,
    ) -> Answer:
        if not _server(url):
            raise ValueError("The address names no server.")
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        self._deadline.until = monotonic() + self._timeout
        with self._pool.stream(
            method,
            quote(url, safe=_URL_SAFE),
            headers=[("Accept-Encoding", "identity"), *pairs],
            content=content,
            extensions={
                "timeout": dict.fromkeys(("connect", "read", "write", "pool"), self._timeout)
            },
        ) as response:
            body = _body(response, url)
        return Answer(
            status=response.status,
            headers={n.decode("latin-1").lower(): v.decode("latin-1") for n, v in response.headers},
            body=body,
        )


def _body(response: Response, url: str) -> bytes:
    read = bytearray()
    with closing(response.iter_stream()) as chunks:  # type: ignore[type-var]
        for chunk in chunks:
            read += chunk
            if len(read) > MOST_BYTES:
                raise UnansweredError(f"The answer of {_place(url)} has no end.")
    return bytes(read)


def _no_address(url: str, error: Exception) -> PermanentProviderError:
    return PermanentProviderError(
        f"{_place(url)} is no address of a web server, or a header cannot be sent. Correct the"
        " settings of the gateway.",
        # A library would quote the header, which may hold a password.
        raw=type(error).__name__,
    )


def _place(url: str) -> str:
    """The server of an address, without what may be secret in it."""
    return _server(url) or "This"


def _server(url: str) -> str:
    """Name and port; nothing where this is no address."""
    _, _, rest = url.partition("://")
    return re.split(r"[/?#]", rest)[0].rpartition("@")[2]


def _now() -> datetime:
    return datetime.now(UTC)
