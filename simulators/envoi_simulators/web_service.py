"""What services with an HTTP interface have in common: a real server, with faults on demand."""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic, sleep
from typing import Any, Self

import structlog

from envoi.errors import EnvoiError
from envoi.outgoing import HttpClient
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

    `status` is given to every request without looking at it; `vanish_share` is how often the
    connection is cut after a request was read and done.
    """

    per_second: int = 0
    retry_after: int = 0
    status: int = 0
    not_json: bool = False
    answer_seconds: float = 0.0
    vanish_share: float = 0.0
    refused: Collection[str] = ()
    busy: Collection[str] = ()


class WebService(ABC):
    """A service; a context manager.

    Args:
        key: What requests have to show.
        phone: Where messages arrive; it decides what becomes of them.
    """

    def __init__(self, *, port: int = 0, key: str = "key", phone: Phone | None = None) -> None:
        self.key, self.phone = key, phone
        self.taken: list[Taken] = []
        self.faults = HttpFaults()
        self._lock = threading.Lock()
        self._second, self._in_second = 0, 0
        self._chance = random.Random(1)  # noqa: S311 (faults, no secrets)
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self._reporters = ThreadPoolExecutor(REPORTERS, thread_name_prefix="reporter")
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="web-service", daemon=True
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its address without a path."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._reporters.shutdown(cancel_futures=True)

    @abstractmethod
    def reply(self, asked: Asked) -> Reply:
        """Do what is asked."""

    def answer(self, asked: Asked) -> Reply | None:
        """Answer a request with the faults of the moment; None is a broken connection."""
        faults = self.faults
        if faults.status:
            return Reply(status=faults.status, body=b"<html>Something is wrong</html>")
        if self._is_too_fast():
            asked_to_wait = {"Retry-After": str(faults.retry_after)} if faults.retry_after else {}
            return Reply(status=429, body=b"{}", headers=asked_to_wait)
        reply = self.reply(asked)
        sleep(faults.answer_seconds)
        if self._chance.random() < faults.vanish_share:
            return None
        return Reply(body=b"<html>Welcome</html>") if faults.not_json else reply

    def take(
        self, *, channel: str, address: str, sender: str, text: str, fields: Mapping[str, Any]
    ) -> Taken:
        """Write a message down."""
        with self._lock:
            number = len(self.taken) + 1
            made = Taken(
                number=number,
                id=str(7_000_000_000 + number),
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
            )

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Report something to a webhook, again where that fails."""
        self._reporters.submit(_posted, url, body, headers)

    def _is_too_fast(self) -> bool:
        if not self.faults.per_second:
            return False
        with self._lock:
            now = int(monotonic())
            self._in_second = self._in_second + 1 if now == self._second else 1
            self._second = now
            return self._in_second > self.faults.per_second


def _posted(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    with closing(HttpClient(timeout=REPORT_SECONDS)) as client:
        for again in range(REPORT_TRIES):
            sleep(again * 0.2)
            try:
                if client.request("POST", url, headers=headers, content=body).status < 300:
                    return
            except EnvoiError as error:
                log.info("simulator.report_failed", error=str(error))


def _handler(service: WebService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = 64 * 1024

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = service.answer(
                Asked(method=self.command, path=self.path, headers=headers, body=body)
            )
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
