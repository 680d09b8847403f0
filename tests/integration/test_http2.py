"""HTTP/2: what becomes of each request of a batch, however the connection ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.http2 import Http2Client
from envoi.outgoing import Answer, Unanswered, allow_private
from envoi.outgoing import Request as Asked
from envoi_simulators.http2 import Http2Server, Reply, Request

Serve = Callable[[Callable[[Request], Reply]], tuple[Http2Server, Http2Client]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    opened: list[Http2Server | Http2Client] = []

    def started(answer: Callable[[Request], Reply]) -> tuple[Http2Server, Http2Client]:
        server = Http2Server(answer)
        server.start()
        client = Http2Client(f"http://127.0.0.1:{server.port}", seconds=1)
        opened.extend([client, server])
        return server, client

    yield started
    for each in opened:
        each.close() if isinstance(each, Http2Client) else each.stop()


def requests(count: int, size: int = 10) -> list[Asked]:
    return [Asked(path=f"/{n}", headers={"x-n": str(n)}, body=b"x" * size) for n in range(count)]


def test_every_request_gets_its_own_answer(serve: Serve) -> None:
    server, client = serve(lambda r: Reply(status=201, body=r.path.encode() + r.body[:1]))
    for count, size in ((1, 0), (500, 10), (60, 40_000)):
        answers = client.exchange(requests(count, size))
        assert [a.body for a in answers if isinstance(a, Answer)] == [
            f"/{n}".encode() + b"x"[:size] for n in range(count)
        ]
    assert server.connections == 1


def test_what_was_on_its_way_is_unknown_and_the_rest_goes_on(serve: Serve) -> None:
    asked: list[str] = []

    def answer(request: Request) -> Reply:
        asked.append(request.path)
        return Reply(cut=request.path == "/150")

    server, client = serve(answer)
    results = client.exchange(requests(300))
    unknown = {n for n, result in enumerate(results) if result is Unanswered.UNKNOWN}
    assert 150 in unknown
    assert len(unknown) <= 100
    answered = {n for n, result in enumerate(results) if isinstance(result, Answer)}
    assert answered | unknown == set(range(300))
    assert len(asked) == len(set(asked)), "nothing is sent twice by itself"
    assert server.connections == 2


def test_a_goodbye_in_order_loses_nothing(serve: Serve) -> None:
    said = threading.Event()

    def answer(request: Request) -> Reply:
        if request.path == "/40" and not said.is_set():
            said.set()
            return Reply(goaway=True)
        return Reply(body=b"ok")

    server, client = serve(answer)
    results = client.exchange(requests(100))
    unknown = [n for n, result in enumerate(results) if not isinstance(result, Answer)]
    assert unknown == [40], "it had been read, so nobody knows"
    assert server.connections == 2


def test_silence_is_unknown_after_a_while(serve: Serve) -> None:
    forever = threading.Event()

    def silent(_: Request) -> Reply:
        forever.wait(10)
        return Reply()

    _, client = serve(silent)
    assert client.exchange(requests(1)) == [Unanswered.UNKNOWN]
    forever.set()


def test_a_connection_that_was_ended_is_opened_again(serve: Serve) -> None:
    server, client = serve(lambda r: Reply(body=b"ok"))
    assert isinstance(client.exchange(requests(1))[0], Answer)
    server.hang_up()
    assert isinstance(client.exchange(requests(1))[0], Answer)
    client.close()
    assert isinstance(client.exchange(requests(1))[0], Answer)
    assert server.connections == 3


def test_nobody_there_is_an_error_and_nothing_has_left(serve: Serve) -> None:
    server, client = serve(lambda r: Reply())
    server.stop()
    with pytest.raises(TemporaryProviderError):
        client.exchange(requests(1))


def test_private_networks_can_be_closed(serve: Serve) -> None:
    server, client = serve(lambda r: Reply())
    allow_private(False)
    try:
        with pytest.raises(PermanentProviderError, match="private network"):
            client.exchange(requests(1))
    finally:
        allow_private(True)
    assert server.connections == 0
