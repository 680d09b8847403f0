"""Requests over kept connections from a process of its own, as fast as the server answers them."""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

CONNECTIONS = 16
_FORKS = get_context("fork")


@dataclass(frozen=True)
class Load:
    """What became of the requests; `answered_at` are seconds since the epoch, by request.

    `cpu_seconds` are the generator's own, `waits` the seconds until each answer.
    """

    seconds: float
    cpu_seconds: float
    answered_at: Sequence[float]
    waits: Sequence[float]
    refused: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.answered_at) / self.seconds


def load(port: int, paths: Sequence[str], connections: int = CONNECTIONS) -> Load:
    """Ask for every path once; returns when all are answered or the server is gone."""
    here, there = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=_work, args=(there, port, paths, connections))
    process.start()
    there.close()
    done: Load = here.recv()
    process.join()
    return done


def _work(result: Connection, port: int, paths: Sequence[str], connections: int) -> None:
    requests = enumerate([_request(path) for path in paths])
    client = _Client(port, requests, connections)
    began, used = time.perf_counter(), time.process_time()
    client.run()
    seconds, used = time.perf_counter() - began, time.process_time() - used
    result.send(Load(seconds, used, client.answered_at, client.waits, client.refused))


def _request(path: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: links.test\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64;"
        " rv:140.0) Gecko/20100101 Firefox/140.0\r\nAccept: image/avif,image/webp,*/*;q=0.8\r\n"
        "Accept-Language: en\r\nAccept-Encoding: gzip, deflate\r\n\r\n"
    ).encode()


def _answer(connected: socket.socket) -> bytes:
    """Receive a whole answer; the server says how long its body is."""
    answer = connected.recv(65536)
    while answer:
        head, end, body = answer.partition(b"\r\n\r\n")
        if end and len(body) >= int(head.lower().partition(b"content-length: ")[2].split()[0]):
            return answer
        more = connected.recv(65536)
        answer = answer + more if more else b""
    raise ConnectionError


class _Client:
    """One thread that keeps every connection busy with one request at a time."""

    def __init__(self, port: int, requests: Iterator[tuple[int, bytes]], connections: int) -> None:
        self._requests = requests
        self._selector = selectors.DefaultSelector()
        self._open = 0
        self.answered_at: deque[float] = deque()
        self.waits: deque[float] = deque()
        self._asked_at: dict[socket.socket, float] = {}
        self.refused = 0
        for _ in range(connections):
            connected = socket.create_connection(("127.0.0.1", port))
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(connected, selectors.EVENT_READ, connected)
            self._open += 1
            self._ask(connected)

    def run(self) -> None:
        """Go on until every connection is closed."""
        while self._open:
            for key, _ in self._selector.select():
                self._hear(key.data)

    def _ask(self, connected: socket.socket) -> None:
        found = next(self._requests, None)
        if found is None:
            self._close(connected)
        else:
            self._asked_at[connected] = time.perf_counter()
            connected.sendall(found[1])

    def _hear(self, connected: socket.socket) -> None:
        try:
            answer = _answer(connected)
            if answer[9:12] not in (b"200", b"302"):
                self.refused += 1
            self.answered_at.append(time.time())
            self.waits.append(time.perf_counter() - self._asked_at[connected])
            self._ask(connected)
        except OSError:
            self._close(connected)

    def _close(self, connected: socket.socket) -> None:
        self._selector.unregister(connected)
        connected.close()
        self._open -= 1
