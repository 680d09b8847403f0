"""What services with an HTTP interface have in common: a real server, with faults on demand."""

from __future__ import annotations

import itertools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep, time_ns
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

import structlog

from envoi.demo.services import Conduct, Fault
from envoi.errors import EnvoiError
from envoi.outgoing import HttpClient
from envoi_simulators.conduct import HANG_SECONDS, Pace, Some, happens
from envoi_simulators.phone import Phone

log = structlog.get_logger()

REPORTERS = 4
REPORT_TRIES = 5
REPORT_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A request; names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What is answered."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """A message that the service has taken; `number` counts them from 1."""

    number: int
    id: str
    channel: str
    address: str
    sender: str
    text: str
    fields: Mapping[str, Any]


@dataclass(kw_only=True)
class HttpFaults:
    """What the service does that it should not; may be changed while it runs.

    `status` is given to requests without looking at them; `vanish_share` is how often the
    connection is cut after a request was read and done, `share` how often the others happen.
    """

    per_second: int = 0
    retry_after: int = 0
    status: int = 0
    not_json: bool = False
    answer_seconds: float = 0.0
    vanish_share: float = 0.0
    share: float = 1.0
    refused: Collection[str] = ()
    busy: Collection[str] = ()


class WebServer:
    """A real server on loopback; a context manager, and `None` breaks the connection."""

    def __init__(self, answer: Callable[[Asked], Reply | None], port: int = 0) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(answer))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="web-service", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])


class WebService(ABC):
    """A service; as a context manager it has a server of its own.

    Args:
        key: What requests have to show.
        phone: Where messages arrive; it decides what becomes of them.
    """

    paths: ClassVar[Collection[str]]
    """The first parts of the paths that are this service's."""

    def __init__(self, *, key: str = "key", phone: Phone | None = None) -> None:
        self.key, self.phone = key, phone
        self.taken: list[Taken] = []
        self.faults = HttpFaults()
        self.webhook = ""
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._first = time_ns() // 1_000_000
        self._pace = Pace()
        self._server: WebServer | None = None
        self._reporters = ThreadPoolExecutor(REPORTERS, thread_name_prefix="reporter")

    @property
    def port(self) -> int:
        """Where its own server listens."""
        assert self._server
        return self._server.port

    @property
    def url(self) -> str:
        """The address of its own server without a path."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._server = WebServer(self.answer).__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server:
            self._server.__exit__()
        self.close()

    def close(self) -> None:
        """Report nothing any more."""
        self._reporters.shutdown(cancel_futures=True)

    @abstractmethod
    def reply(self, asked: Asked) -> Reply:
        """Do what is asked."""

    def answer(self, asked: Asked) -> Reply | None:
        """Answer a request with the faults of the moment; None is a broken connection."""
        faults = self.faults
        is_struck = happens(faults.share)
        if faults.status and is_struck:
            return Reply(status=faults.status, body=b"<html>Something is wrong</html>")
        if self._pace.is_exceeded(faults.per_second):
            asked_to_wait = {"Retry-After": str(faults.retry_after)} if faults.retry_after else {}
            return Reply(status=429, body=b"{}", headers=asked_to_wait)
        reply = self.reply(asked)
        sleep(faults.answer_seconds if is_struck else 0)
        if happens(faults.vanish_share):
            return None
        return Reply(body=b"<html>Welcome</html>") if faults.not_json and is_struck else reply

    def behave(self, conduct: Conduct) -> None:
        """Begin to make the mistakes that somebody has chosen."""
        share = conduct.share / 100
        self.webhook = conduct.webhook or self.webhook
        self.faults = {
            Fault.NONE: HttpFaults(),
            Fault.THROTTLED: HttpFaults(per_second=conduct.per_second, retry_after=1),
            Fault.REFUSED: HttpFaults(refused=Some(share)),
            Fault.HANGING: HttpFaults(answer_seconds=HANG_SECONDS, share=share),
            Fault.CUT: HttpFaults(vanish_share=share),
            Fault.BROKEN: HttpFaults(status=503, share=share),
            Fault.NOT_JSON: HttpFaults(not_json=True, share=share),
        }[conduct.fault]

    def take(
        self, *, channel: str, address: str, sender: str, text: str, fields: Mapping[str, Any]
    ) -> Taken:
        """Write a message down."""
        with self._lock:
            number = next(self._numbers)
            made = Taken(
                number=number,
                id=str(self._first + number),
                channel=channel,
                address=address,
                sender=sender,
                text=text,
                fields=fields,
            )
            self.taken.append(made)
        return made

    def arrive(
        self,
        taken: Taken,
        report: Callable[[str], None],
        parts: int = 1,
        fields: Mapping[str, Any] | None = None,
        reply: Callable[[str], None] | None = None,
    ) -> None:
        """Let a message arrive at the phone, where there is one."""
        if self.phone:
            self.phone.arrive(
                channel=taken.channel,
                address=taken.address,
                sender=taken.sender,
                text=taken.text,
                fields=fields or {},
                parts=parts,
                report=report,
                reply=reply,
            )

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Report something to a webhook, again where that fails."""
        self._reporters.submit(_posted, url, body, headers)


def _posted(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    with closing(HttpClient(timeout=REPORT_SECONDS)) as client:
        for again in range(REPORT_TRIES):
            sleep(again * 0.2)
            try:
                if client.request("POST", url, headers=headers, content=body).status < 300:
                    return
            except EnvoiError as error:
                log.info("simulator.report_failed", error=str(error))


def by_path(services: Iterable[WebService]) -> Callable[[Asked], Reply | None]:
    """Answer for several services behind one address, told apart by the paths they have."""
    found = {path: service for service in services for path in service.paths}

    def answer(asked: Asked) -> Reply | None:
        service = found.get(urlsplit(asked.path).path.split("/")[1])
        return service.answer(asked) if service else Reply(status=404, body=b"No such service")

    return answer


def _handler(answered: Callable[[Asked], Reply | None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = 64 * 1024

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = answered(Asked(method=self.command, path=self.path, headers=headers, body=body))
            if reply is None:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler
