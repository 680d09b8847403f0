"""The HTTP client of providers: where it goes, what it waits for, and what it calls unanswered."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_address
from pathlib import Path
from time import monotonic

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from envoi.errors import (
    PermanentProviderError,
    ProviderError,
    TemporaryProviderError,
    UnansweredError,
)
from envoi.outgoing import Answer, HttpClient, allow_private, connect
from web_sink import Reply, WebSink

INSIDE = [
    *("127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "0", "0.0.0.0", "2130706433"),
    *("0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1", "localhost", "LOCALHOST"),
    *("[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
    *(
        "[::ffff:0:0]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "[::127.0.0.1]",
    ),
    *("10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1"),
    *("169.254.169.254", "169.254.0.1", "100.64.0.1", "100.127.255.254", "192.0.0.8"),
    *("192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "240.0.0.1", "224.0.0.1"),
    *("255.255.255.255", "239.255.255.250", "0xa9fea9fe", "2852039166", "10.1", "192.168.257"),
    *("0300.0250.0.1", "[fc00::1]", "[fd12:3456:789a::1]", "[fe80::1]", "[fec0::1]"),
    *("[ff02::1]", "[2001:db8::1]", "[100::1]", "[::ffff:10.0.0.1]", "[::ffff:a9fe:a9fe]"),
    *("[64:ff9b::a9fe:a9fe]", "[64:ff9b::a00:1]", "[64:ff9b:1::1]", "[2002:a9fe:a9fe::]"),
    *("user:word@127.0.0.1", "evil.test@127.0.0.1", "127.0.0.1.", "[2002:a00:1::1]"),
]


@pytest.fixture
def client() -> Iterator[HttpClient]:
    with closing(HttpClient(timeout=2)) as made:
        yield made


@pytest.fixture
def shared() -> Iterator[None]:
    allow_private(False)
    yield
    allow_private(True)


@pytest.mark.usefixtures("shared")
def test_no_form_of_an_address_leads_inside(client: HttpClient) -> None:
    assert len(INSIDE) >= 60
    with WebSink() as trap:
        for host in INSIDE:
            with pytest.raises(ProviderError) as refused:
                client.request("GET", f"http://{host}:{trap.port}/")
            said = f"{refused.value} {refused.value.raw}"
            assert "private network" in said or "not known" in said or "no address" in said, host
        assert trap.connections == 0
        allow_private(True)
        assert client.request("GET", f"http://127.0.0.1:{trap.port}/").status == 200


@pytest.mark.usefixtures("shared")
def test_a_name_is_asked_for_once(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is public when it is looked at, and ours a moment later."""
    asked: list[str] = []
    tried: list[str] = []
    ask = socket.getaddrinfo

    def answer(host: str, port: int, *rest: int, **more: int) -> object:
        asked.append(host)
        return ask("198.41.0.4" if len(asked) == 1 else "127.0.0.1", port, *rest, **more)

    def refuse(place: tuple[str, int], *rest: object, **more: object) -> socket.socket:
        tried.append(place[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(TemporaryProviderError, match=r"api\.rebinding\.test cannot be reached"):
        client.request("GET", "https://api.rebinding.test/")
    assert tried == ["198.41.0.4"], "the address that was looked at, not the name"
    with pytest.raises(PermanentProviderError, match="private network"):
        client.request("GET", "https://api.rebinding.test/")
    assert len(tried) == 1


def test_a_request_and_its_answer(client: HttpClient) -> None:
    with WebSink(lambda _: Reply(201, "ключ".encode(), {"X-Id": "7"})) as sink:
        answer = client.request(
            "POST", f"{sink.url}/a b?to=Жанна#x", headers={"X-Key": "k"}, content=b"hello"
        )
        client.request("GET", sink.url)
    [posted, _] = sink.asked
    assert (posted.method, posted.body, posted.headers["x-key"]) == ("POST", b"hello", "k")
    assert posted.path == "/a%20b?to=%D0%96%D0%B0%D0%BD%D0%BD%D0%B0"
    assert posted.headers["host"] == f"127.0.0.1:{sink.port}"
    assert (answer.status, answer.text, answer.headers["x-id"]) == (201, "ключ", "7")
    assert answer.raw == "HTTP 201 Created\nключ"
    assert sink.connections == 1, "the connection is kept"


def test_redirects_are_answers(client: HttpClient) -> None:
    with WebSink(lambda _: Reply(302, headers={"Location": "/elsewhere"})) as sink:
        assert client.request("GET", sink.url).status == 302
    assert len(sink.asked) == 1


def test_proxies_of_the_environment_are_not_asked(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WebSink() as proxy, WebSink() as sink:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        client.request("GET", sink.url)
    assert (len(proxy.asked), len(sink.asked)) == (0, 1)


def test_answers_have_an_end(client: HttpClient) -> None:
    with (
        WebSink(lambda _: Reply(body=b"x" * 1_100_000)) as sink,
        pytest.raises(UnansweredError, match="no end"),
    ):
        client.request("GET", sink.url)


@contextmanager
def speaking(talk: Callable[[socket.socket], object]) -> Iterator[str]:
    """A server that does as it likes once it has read a request."""

    def serve() -> None:
        with closing(listener.accept()[0]) as connection:
            connection.recv(65536)
            talk(connection)

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join()


@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"SSH-2.0-x\r\n\r\n"],
)
def test_half_an_answer_is_none(client: HttpClient, said: bytes) -> None:
    with (
        speaking(lambda connection: connection.sendall(said)) as url,
        pytest.raises(UnansweredError, match=r"127\.0\.0\.1"),
    ):
        client.request("POST", url, content=b"x")


def test_nobody_waits_for_a_silent_or_a_slow_server() -> None:
    done = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        while not done.wait(0.05):
            connection.sendall(b"x")

    def drip_headers(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not done.wait(0.05):
            connection.sendall(b"x")

    for talk in (lambda _: done.wait(10), drip, drip_headers):
        done.clear()
        with closing(HttpClient(timeout=0.3)) as client, speaking(talk) as url:
            begun = monotonic()
            with pytest.raises(UnansweredError):
                client.request("POST", url)
            assert monotonic() - begun < 3
            done.set()


def test_a_server_that_is_not_there(client: HttpClient) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TemporaryProviderError, match=f"127.0.0.1:{port} cannot be reached"):
        client.request("GET", f"http://user:secret@127.0.0.1:{port}/secret")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "file:///etc/passwd", "no address", "http://"])
def test_what_is_no_address_of_a_web_server(client: HttpClient, url: str) -> None:
    with pytest.raises(PermanentProviderError, match="no address"):
        client.request("GET", url)


def test_headers_cannot_be_split(client: HttpClient) -> None:
    with WebSink() as sink, pytest.raises(PermanentProviderError, match="cannot be sent") as found:
        client.request("GET", sink.url, headers={"X-Key": "secret\r\nX-Other: b"})
    assert "secret" not in f"{found.value} {found.value.raw}"
    assert sink.asked == []


def test_certificates_are_checked(client: HttpClient, tmp_path: Path) -> None:
    server = _self_signed(tmp_path / "server.pem")
    with WebSink(tls=server) as sink:
        with pytest.raises(PermanentProviderError, match=r"certificate of 127\.0\.0\.1"):
            client.request("GET", sink.url)
        trusting = ssl.create_default_context(cafile=tmp_path / "server.pem")
        with closing(HttpClient(tls=trusting)) as other:
            assert other.request("GET", sink.url).status == 200


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("", None),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 99999999999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2026 9999999999:00 GMT", None),
    ],
)
def test_how_long_a_server_asks_us_to_wait(header: str, seconds: float | None) -> None:
    assert Answer(status=429, headers={"retry-after": header}, body=b"").retry_after == seconds


def _self_signed(path: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server")])
    now = datetime.datetime.now(datetime.UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pem + made.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_all_addresses_of_a_name_share_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of them swallows everything, as behind a bad firewall."""
    given: list[float] = []

    def create(address: tuple[str, int], timeout: float, **_: object) -> socket.socket:
        given.append(timeout)
        if address[0] == "192.0.2.1":
            raise TimeoutError("timed out")
        return socket.socket()

    addresses = ["192.0.2.1", "192.0.2.1", "192.0.2.2"]
    monkeypatch.setattr("envoi.outgoing.addresses.open_addresses", lambda host, port: addresses)
    monkeypatch.setattr(socket, "create_connection", create)
    with closing(connect("many.test", 80, 9.0)) as opened:
        assert opened.gettimeout() == 9.0
    assert given == pytest.approx([3.0, 4.5, 9.0], abs=0.5)
