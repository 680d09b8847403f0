"""A real SMTP server that obeys a script and keeps a record; also runs as a process of its own.

The record is the witness of what was delivered: each line is written before the 250 is said.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hmac
import json
import os
import random
import re
import signal
import socket
import socketserver
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(\S+)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Received:
    """One message the sink took."""

    at: float
    mail_from: str
    rcpt: str
    message_id: str
    size: int
    data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Script:
    """How the sink behaves.

    `rules` pairs a pattern of recipients with what happens to them: a reply such as
    `550 5.1.1 unknown` to RCPT, `final 451 4.3.0 later` after the dot, `hang` or `drop` before
    the dot is awaited, `hang_after` or `drop_after` once the message has been taken.
    """

    rules: tuple[tuple[str, str], ...] = ()
    delay_ms: tuple[float, float] = (0, 0)
    seed: int = 0
    close_after: int = 0
    """Say 421 and close once a connection has brought this many messages; 0 is never."""
    banner: str = "220 sink ESMTP"
    extensions: tuple[str, ...] = ("PIPELINING", "SIZE 10000000", "8BITMIME", "SMTPUTF8")
    login: tuple[str, str] | None = None
    auth: str = "PLAIN LOGIN"
    starttls: ssl.SSLContext | None = None
    implicit_tls: ssl.SSLContext | None = None
    keep_data: bool = True


class SmtpSink:
    """The server; a context manager.

    Args:
        script: How it behaves.
        port: Where it listens; 0 is any free port.
        record: A file for what was taken.
        watch: Told how far a message is, before the client is: `mail`, `rcpt` and `data` were
            read, the `body` has begun, the `dot` has come and the message is on the record, it
            is `answered`.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        port: int = 0,
        record: Path | None = None,
        watch: Callable[[str], None] = lambda stage: None,
    ) -> None:
        self.script = script or Script()
        self.watch = watch
        self.received: list[Received] = []
        self.connections = 0
        self.refusals = 0
        self.lock = threading.Lock()
        self.random = random.Random(self.script.seed)
        self.stopping = threading.Event()
        self._record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if record else -1
        self._server = _Server(("127.0.0.1", port), self)
        self.host, self.port = "127.0.0.1", int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> SmtpSink:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join()
        if self._record >= 0:
            os.close(self._record)

    @property
    def recipients(self) -> list[str]:
        """Who got something, in order."""
        with self.lock:
            return [one.rcpt for one in self.received]

    def take(self, one: Received) -> None:
        """Put a message on the record."""
        with self.lock:
            self.received.append(one)
            if self._record >= 0:
                line = {k: v for k, v in asdict(one).items() if k != "data"}
                os.write(self._record, (json.dumps(line) + "\n").encode())

    def delay(self) -> float:
        """The next pause before a 250, in seconds."""
        with self.lock:
            return self.random.uniform(*self.script.delay_ms) / 1000


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], sink: SmtpSink) -> None:
        self.sink = sink
        self._open: set[socket.socket] = set()
        super().__init__(address, _Session)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self.sink.lock:
            self.sink.connections += 1
        self.watch(request)
        super().process_request_thread(request, client_address)

    def watch(self, connection: socket.socket) -> None:
        """Close this connection as well when the sink ends."""
        with self.sink.lock:
            self._open.add(connection)

    def shutdown_request(self, request: Any) -> None:
        with self.sink.lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        with self.sink.lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that vanished is part of the game."""


class _Session(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        if tls := self.server.sink.script.implicit_tls:
            self.request = tls.wrap_socket(self.request, server_side=True)
            self.server.watch(self.request)
        super().setup()

    def handle(self) -> None:
        self._sink, self._script = self.server.sink, self.server.sink.script
        self._mail_from, self._rcpts, self._taken = "", list[str](), 0
        self._say(self._script.banner)
        while line := self.rfile.readline(8192):
            verb, _, rest = line.decode("utf-8", "replace").rstrip("\r\n").partition(" ")
            if self._script.close_after and self._taken >= self._script.close_after:
                self._say("421 4.7.0 that is enough for one connection")
                return
            answer = getattr(self, f"_on_{verb.lower()}", None)
            if answer is None:
                self._say(f"500 5.5.1 what is {verb[:40]}")
            elif answer(rest) is False:
                return

    def finish(self) -> None:
        super().finish()
        if isinstance(self.request, ssl.SSLSocket):
            self.server.shutdown_request(self.request)

    def _say(self, reply: str) -> None:
        self.wfile.write(f"{reply}\r\n".encode())

    def _on_ehlo(self, _rest: str) -> None:
        offers = list(self._script.extensions)
        if self._script.starttls and not isinstance(self.request, ssl.SSLSocket):
            offers.append("STARTTLS")
        if self._script.login:
            offers.append(f"AUTH {self._script.auth}")
        lines = ["sink at your service", *offers]
        for line in lines[:-1]:
            self._say(f"250-{line}")
        self._say(f"250 {lines[-1]}")

    def _on_helo(self, _rest: str) -> None:
        self._say("250 sink")

    def _on_starttls(self, _rest: str) -> None:
        assert self._script.starttls
        self._say("220 go ahead")
        self.request = self._script.starttls.wrap_socket(self.request, server_side=True)
        self.server.watch(self.request)
        self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", 0)

    def _on_auth(self, rest: str) -> None:
        mechanism, _, initial = rest.partition(" ")
        if mechanism.upper() == "PLAIN":
            _, user, password = base64.b64decode(initial).decode().split("\0")
        elif mechanism.upper() == "CRAM-MD5":
            self._answer_challenge()
            return
        else:
            user, password = self._ask("VXNlcm5hbWU6"), self._ask("UGFzc3dvcmQ6")
        good = (user, password) == self._script.login
        # Some servers quote what they refuse.
        self._say("235 2.7.0 welcome" if good else f"535 5.7.8 wrong user or password: {rest}")

    def _answer_challenge(self) -> None:
        assert self._script.login
        user, password = self._script.login
        challenge = b"<1.2@sink>"
        given = self._ask(base64.b64encode(challenge).decode())
        digest = hmac.new(password.encode(), challenge, "md5").hexdigest()
        good = given == f"{user} {digest}"
        self._say("235 2.7.0 welcome" if good else "535 5.7.8 wrong user name or password")

    def _ask(self, prompt: str) -> str:
        self._say(f"334 {prompt}")
        return base64.b64decode(self.rfile.readline()).decode()

    def _on_mail(self, rest: str) -> None:
        self._mail_from, self._rcpts = _path(rest), []
        self._sink.watch("mail")
        self._say("250 2.1.0 ok")

    def _on_rcpt(self, rest: str) -> None:
        action = self._action(_path(rest))
        if action[:1].isdigit():
            with self._sink.lock:
                self._sink.refusals += 1
            self._say(action)
            return
        self._rcpts.append(_path(rest))
        self._sink.watch("rcpt")
        self._say("250 2.1.5 ok")

    def _on_data(self, _rest: str) -> bool | None:
        if not self._rcpts:
            self._say("554 5.5.1 no valid recipients")
            return None
        action = self._action(self._rcpts[-1])
        if action == "hang":
            self._sink.stopping.wait(60)
            return False
        if action == "drop":
            return False
        self._sink.watch("data")
        self._say("354 end with a dot")
        data = self._read_data()
        if action.startswith("final "):
            self._say(action.removeprefix("final "))
            return None
        self._take(data)
        self._sink.watch("dot")
        if action == "drop_after":
            return False
        pause = 60 if action == "hang_after" else self._sink.delay()
        if pause:
            self._sink.stopping.wait(pause)
        self._say(f"250 2.0.0 queued as {len(self._sink.received)}")
        self._sink.watch("answered")
        return None

    def _read_data(self) -> bytes:
        """Read up to the dot; only CRLF ends a line here, as RFC 5321 wants it."""
        lines: list[bytes] = []
        while (line := self.rfile.readline()) != b".\r\n" or not _ends_line(lines):
            if not line:
                raise ConnectionError("cut off in the middle of the data")
            if not lines:
                self._sink.watch("body")
            is_stuffed = line.startswith(b".") and _ends_line(lines)
            lines.append(line[1:] if is_stuffed else line)
        return b"".join(lines)

    def _take(self, data: bytes) -> None:
        found = _MESSAGE_ID.search(data)
        message_id = found[1].decode() if found else ""
        kept = data if self._script.keep_data else b""
        for rcpt in self._rcpts:
            one = Received(time.time(), self._mail_from, rcpt, message_id, len(data), kept)
            self._sink.take(one)
        self._taken += 1

    def _on_rset(self, _rest: str) -> None:
        self._mail_from, self._rcpts = "", []
        self._say("250 2.0.0 ok")

    def _on_noop(self, _rest: str) -> None:
        self._say("250 2.0.0 ok")

    def _on_quit(self, _rest: str) -> bool:
        self._say("221 2.0.0 bye")
        return False

    def _action(self, rcpt: str) -> str:
        return next((do for pattern, do in self._script.rules if re.search(pattern, rcpt)), "")


def _path(rest: str) -> str:
    return rest[rest.index("<") + 1 : rest.index(">")]


def _ends_line(lines: list[bytes]) -> bool:
    return not lines or lines[-1].endswith(b"\r\n")


def main() -> None:
    """Run until SIGTERM; say the port on the first line."""
    parser = argparse.ArgumentParser(prog="smtp_sink")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--delay-ms", default="0-0", help="pause before each 250, such as 5-30")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rule", action="append", default=[], help="PATTERN=ACTION")
    given = parser.parse_args()
    low, _, high = given.delay_ms.partition("-")
    script = Script(
        rules=tuple((p, a) for p, _, a in (rule.partition("=") for rule in given.rule)),
        delay_ms=(float(low), float(high or low)),
        seed=given.seed,
        keep_data=False,
    )
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    with SmtpSink(script, port=given.port, record=given.record) as sink:
        sys.stdout.write(f"{sink.port}\n")
        sys.stdout.flush()
        ended.wait()


if __name__ == "__main__":
    main()
