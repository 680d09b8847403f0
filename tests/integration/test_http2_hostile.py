"""HTTP/2 with services that do not keep to it: nothing raises, and nothing takes longer."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic

import pytest

from envoi.http2 import Http2Client
from envoi.outgoing import Answer, Request, Unanswered

Peer = Callable[[Callable[[socket.socket], None]], Http2Client]

SECONDS = 1.0
HEADERS, RST, SETTINGS, PING, CONTINUATION = 1, 3, 4, 6, 9
WHOLE = 5
"""The flags of headers that are complete and end their stream."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def header(name: bytes, value: bytes) -> bytes:
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


OK = header(b":status", b"200")


@pytest.fixture
def peer() -> Iterator[Peer]:
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []
    ended = threading.Event()

    def meet(act: Callable[[socket.socket], None]) -> None:
        while not ended.is_set():
            with suppress(OSError), listener.accept()[0] as link:
                link.sendall(frame(SETTINGS, 0, 0))
                while link.recv(65_536).find(b"asked") < 0:
                    pass
                act(link)
                ended.wait()

    def made(act: Callable[[socket.socket], None]) -> Http2Client:
        threads.append(threading.Thread(target=meet, args=(act,)))
        threads[-1].start()
        return Http2Client(f"http://127.0.0.1:{listener.getsockname()[1]}", seconds=SECONDS)

    yield made
    ended.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in threads:
        thread.join(5)


def saying(*frames: bytes) -> Callable[[socket.socket], None]:
    return lambda link: link.sendall(b"".join(frames))


def without_end(frames: bytes) -> Callable[[socket.socket], None]:
    def act(link: socket.socket) -> None:
        while True:
            link.sendall(frames)

    return act


@pytest.mark.parametrize(
    "act",
    [
        saying(frame(HEADERS, WHOLE, 1, header(b":status", b"fine"))),
        saying(frame(HEADERS, WHOLE, 1, OK + header(b"x", b"\xff\xfe"))),
        saying(frame(HEADERS, WHOLE, 1, OK + header(b"x", b"y") * 3_000)),
        saying(frame(HEADERS, 1, 1, OK), frame(CONTINUATION, 0, 1, header(b"x", b"y")) * 200),
        without_end(frame(PING, 0, 0, b"12345678") * 500),
        without_end(frame(SETTINGS, 0, 0) * 500),
    ],
    ids=["no number", "no text", "many headers", "continuations", "pings", "settings"],
)
def test_nonsense_leaves_a_message_unknown_in_time(
    peer: Peer, act: Callable[[socket.socket], None]
) -> None:
    client = peer(act)
    began = monotonic()
    assert client.exchange([Request(path="/", body=b"asked")]) == [Unanswered.UNKNOWN]
    client.close()
    assert monotonic() - began < 3 * SECONDS


def test_a_service_that_talks_without_end_is_left(peer: Peer) -> None:
    resets = b"".join(frame(RST, 0, number, b"\0\0\0\1") for number in range(1, 2_001, 2))
    client = peer(without_end(resets))
    assert client.exchange([Request(path="/", body=b"asked")]) == [Unanswered.UNKNOWN]
    ending = threading.Thread(target=client.exchange, args=([Request(path="/")],), daemon=True)
    ending.start()
    ending.join(5 * SECONDS)
    assert not ending.is_alive()
    client.close()


def test_a_service_that_talks_between_two_requests_is_asked_anew(peer: Peer) -> None:
    def act(link: socket.socket) -> None:
        link.sendall(frame(HEADERS, WHOLE, 1, OK))
        without_end(frame(PING, 0, 0, b"12345678") * 1_000)(link)

    client = peer(act)
    for _ in range(2):
        began = monotonic()
        [answer] = client.exchange([Request(path="/", body=b"asked")])
        assert isinstance(answer, Answer)
        assert answer.status == 200
        assert monotonic() - began < 3 * SECONDS
    client.close()
