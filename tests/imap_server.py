"""A small IMAP server with one folder: enough of RFC 3501 to be read from."""

from __future__ import annotations

import re
import socketserver
import threading
from typing import Any

_LINE = re.compile(rb"(\S+) (UID )?(\w+)(?: (.*))?")


class ImapServer:
    """The server; a context manager. `seen` holds the numbers of what was marked as read."""

    def __init__(self, messages: list[bytes], user: str = "bounces", password: str = "secret"):
        self.messages = messages
        self.login = f'{user} "{password}"'.encode()
        self.seen: set[int] = set()
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Session)
        self._server.daemon_threads = True
        self._server.imap = self  # type: ignore[attr-defined]
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> ImapServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self._say(b"* OK ready")
        while line := self.rfile.readline().rstrip(b"\r\n"):
            found = _LINE.fullmatch(line)
            assert found, line
            tag, _, command, rest = found.groups()
            answer = getattr(self, f"_{command.decode().lower()}", self._nothing)(rest or b"")
            self._say(tag + b" " + answer)
            if command == b"LOGOUT":
                return

    def _nothing(self, rest: bytes) -> bytes:
        return b"OK done"

    def _capability(self, rest: bytes) -> bytes:
        self._say(b"* CAPABILITY IMAP4rev1")
        return b"OK done"

    def _login(self, rest: bytes) -> bytes:
        return b"OK welcome" if rest == self._imap.login else b"NO wrong password"

    def _select(self, rest: bytes) -> bytes:
        if rest != b'"INBOX"':
            return b"NO there is no such folder"
        self._say(b"* %d EXISTS" % len(self._imap.messages))
        return b"OK [READ-WRITE] selected"

    def _search(self, rest: bytes) -> bytes:
        assert rest == b"UNSEEN"
        numbers = set(range(1, len(self._imap.messages) + 1)) - self._imap.seen
        self._say(b"* SEARCH " + b" ".join(b"%d" % n for n in sorted(numbers)))
        return b"OK done"

    def _fetch(self, rest: bytes) -> bytes:
        number = int(rest.split()[0])
        raw = self._imap.messages[number - 1]
        self._say(b"* %d FETCH (UID %d BODY[] {%d}\r\n" % (number, number, len(raw)) + raw + b")")
        return b"OK done"

    def _store(self, rest: bytes) -> bytes:
        number, flags = rest.split(b" ", 1)
        assert flags == b"+FLAGS (\\Seen)"
        self._imap.seen.add(int(number))
        return b"OK done"

    @property
    def _imap(self) -> ImapServer:
        found: Any = self.server
        server: ImapServer = found.imap
        return server

    def _say(self, line: bytes) -> None:
        self.wfile.write(line + b"\r\n")
