"""HTTP/2: what becomes of each request of a batch, however the connection ends."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from h2.errors import ErrorCodes

from envoi.errors import PermanentProviderError, ProviderError, TemporaryProviderError
from envoi.http2 import Http2Client
from envoi.outgoing import Answer, Unanswered, allow_private
from envoi.outgoing import Request as Asked
from envoi.testing.certificates import HERE, make_authority
from envoi_simulators.http2 import Http2Server, Reply, Request
from web_sink import WebSink

Serve = Callable[..., tuple[Http2Server, Http2Client]]


@pytest.fixture(params=["plain", "TLS"])
def tls(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ssl.SSLContext | None:
    if request.param == "plain":
        return None
    authority = make_authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority.context(HERE)


@pytest.fixture
def serve(tls: ssl.SSLContext | None) -> Iterator[Serve]:
    opened: list[Http2Server | Http2Client] = []

    def started(
        answer: Callable[[Request], Reply], streams: int = 100
    ) -> tuple[Http2Server, Http2Client]:
        server = Http2Server(answer, tls=tls, streams=streams)
        server.start()
        client = Http2Client(server.url, seconds=1)
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


def test_answers_that_are_larger_than_the_window_come_whole(serve: Serve) -> None:
    _, client = serve(lambda r: Reply(body=r.path.encode() * 20_000))
    answers = client.exchange(requests(30))
    whole = [f"/{n}".encode() * 20_000 for n in range(30)]
    assert [a.body for a in answers if isinstance(a, Answer)] == whole


def test_no_more_requests_are_open_than_the_server_allows(serve: Serve) -> None:
    server, client = serve(lambda r: Reply(body=b"ok"), streams=3)
    assert all(isinstance(a, Answer) for a in client.exchange(requests(50)))
    assert server.connections == 1


def test_what_is_reset_is_unknown_unless_the_server_says_that_it_was_not_taken(
    serve: Serve,
) -> None:
    resets = {"/1": ErrorCodes.REFUSED_STREAM, "/2": ErrorCodes.INTERNAL_ERROR}
    asked: list[str] = []

    def answer(request: Request) -> Reply:
        first = request.path not in asked
        asked.append(request.path)
        return Reply(reset=resets.get(request.path) if first else None)

    server, client = serve(answer)
    results = client.exchange(requests(4))
    assert results[2] is Unanswered.UNKNOWN
    assert all(isinstance(results[n], Answer) for n in (0, 1, 3))
    assert (asked.count("/1"), asked.count("/2"), server.connections) == (2, 1, 1)


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


def test_nothing_leaves_to_a_server_of_http_1(tls: ssl.SSLContext | None) -> None:
    """With TLS it says what it speaks; without, it only hangs up."""
    words = "does not speak HTTP/2" if tls else "cannot be reached"
    with WebSink(tls=tls) as sink, closing(Http2Client(sink.url)) as client:
        with pytest.raises(ProviderError, match=words):
            client.exchange(requests(1))
        assert [each.method for each in sink.asked if each.path == "/0"] == []
