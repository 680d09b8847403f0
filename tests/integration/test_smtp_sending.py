"""The SMTP provider against a real server that obeys a script."""

from __future__ import annotations

import datetime
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from envoi.errors import PermanentProviderError, ProviderError, TemporaryProviderError
from envoi.types import Outgoing, SendStatus
from envoi_channel_email.settings import SmtpSettings
from envoi_channel_email.smtp import SmtpConnection, SmtpProvider
from smtp_sink import Script, SmtpSink


def message(
    address: str = "anna@example.test", body: str = "Hello\r\n", key: str = "k1"
) -> Outgoing:
    head = f"Message-ID: <{key}@envoi.test>\r\nSubject: x\r\n\r\n"
    return Outgoing(
        key=key,
        address=address,
        sender=f"b+{key}@bounce.envoi.test",
        payload=(head + body).encode(),
    )


def account(port: int, **changes: Any) -> SmtpProvider:
    settings: dict[str, Any] = {"host": "127.0.0.1", "port": port, "security": "none"}
    return SmtpProvider(SmtpSettings.model_validate(settings | changes))


Connect = Callable[..., tuple[SmtpSink, SmtpConnection]]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Start a sink with a script and connect to it."""
    opened: list[tuple[SmtpSink, SmtpConnection]] = []

    def start(script: Script | None = None, **changes: Any) -> tuple[SmtpSink, SmtpConnection]:
        sink = SmtpSink(script).__enter__()
        opened.append((sink, account(sink.port, **changes).connect()))
        return opened[-1]

    yield start
    for sink, connection in opened:
        connection.close()
        sink.__exit__()


@pytest.mark.parametrize("extensions", [(), ("PIPELINING",), Script().extensions])
def test_many_messages_over_one_connection(connect: Connect, extensions: tuple[str, ...]) -> None:
    sink, connection = connect(Script(extensions=extensions))
    for n in range(50):
        result = connection.send(message(f"c{n}@example.test", key=f"k{n}"))
        assert (result.status, result.code) == (SendStatus.ACCEPTED, 250)
        assert result.provider_id == f"2.0.0 queued as {n + 1}"
    assert sink.recipients == [f"c{n}@example.test" for n in range(50)]
    assert [one.message_id for one in sink.received] == [f"<k{n}@envoi.test>" for n in range(50)]
    assert sink.received[7].mail_from == "b+k7@bounce.envoi.test"
    assert sink.connections == 1


@pytest.mark.parametrize(
    "body",
    [
        ".\r\n",
        ".\r\n.\r\n",
        "a\r\n.\r\nb\r\n",
        "..\r\n",
        "a\r\n..b\r\n",
        "no end",
        "",
        ".",
        "x" * 200_000 + "\r\n",
        "é\r\n",
    ],
)
def test_dots_and_ends_arrive_unchanged(connect: Connect, body: str) -> None:
    sink, connection = connect()
    sent = message(body=body)
    assert connection.send(sent).status is SendStatus.ACCEPTED
    assert sink.received[0].data == sent.payload + (
        b"" if sent.payload.endswith(b"\r\n") else b"\r\n"
    )


@pytest.mark.parametrize("extensions", [(), ("PIPELINING",)])
@pytest.mark.parametrize(
    ("action", "status", "code"),
    [
        ("550 5.1.1 unknown user", SendStatus.REFUSED, 550),
        ("451 4.7.1 greylisted", SendStatus.REFUSED_NOW, 451),
        ("final 554 5.7.1 spam", SendStatus.REFUSED, 554),
        ("final 452 4.3.1 disk full", SendStatus.REFUSED_NOW, 452),
    ],
)
def test_refusals_concern_one_message(
    connect: Connect, extensions: tuple[str, ...], action: str, status: SendStatus, code: int
) -> None:
    sink, connection = connect(Script(rules=(("bad", action),), extensions=extensions))
    for n in range(3):
        result = connection.send(message(f"bad{n}@example.test"))
        assert (result.status, result.code) == (status, code)
        assert action.removeprefix("final ") == result.raw
        assert connection.send(message(f"good{n}@example.test")).status is SendStatus.ACCEPTED
    assert sink.recipients == [f"good{n}@example.test" for n in range(3)]
    assert sink.connections == 1


def test_drop_before_the_dot_leaves_nothing(connect: Connect) -> None:
    sink, connection = connect(Script(rules=(("bad", "drop"),)))
    with pytest.raises(TemporaryProviderError, match="before it took the message"):
        connection.send(message("bad@example.test"))
    assert connection.send(message("good@example.test")).status is SendStatus.ACCEPTED
    assert sink.recipients == ["good@example.test"]


@pytest.mark.parametrize("action", ["drop_after", "hang_after"])
def test_silence_after_the_dot_is_unknown(connect: Connect, action: str) -> None:
    sink, connection = connect(Script(rules=(("bad", action),)), final_timeout=0.2)
    result = connection.send(message("bad@example.test"))
    assert result.status is SendStatus.UNKNOWN
    assert result.raw
    assert connection.send(message("good@example.test")).status is SendStatus.ACCEPTED
    assert sink.recipients == ["bad@example.test", "good@example.test"]


def test_hanging_before_the_dot_times_out(connect: Connect) -> None:
    sink, connection = connect(Script(rules=(("bad", "hang"),)), data_timeout=0.2)
    with pytest.raises(TemporaryProviderError) as caught:
        connection.send(message("bad@example.test"))
    assert caught.value.raw == "timed out"
    assert sink.recipients == []


def test_server_that_closes_now_and_then_costs_nothing(connect: Connect) -> None:
    sink, connection = connect(Script(close_after=3))
    for n in range(10):
        assert connection.send(message(f"c{n}@example.test")).status is SendStatus.ACCEPTED
    assert sink.recipients == [f"c{n}@example.test" for n in range(10)]
    assert sink.connections == 4


def test_throttling_is_the_providers_trouble(connect: Connect) -> None:
    _, connection = connect(Script(rules=(("bad", "421 4.7.0 slow down"),)))
    with pytest.raises(TemporaryProviderError) as caught:
        connection.send(message("bad@example.test"))
    assert caught.value.raw == "421 4.7.0 slow down"
    assert connection.send(message("good@example.test")).status is SendStatus.ACCEPTED


def test_throttling_after_the_dot_means_not_taken(connect: Connect) -> None:
    sink, connection = connect(Script(rules=(("bad", "final 421 4.3.2 going down"),)))
    with pytest.raises(TemporaryProviderError):
        connection.send(message("bad@example.test"))
    assert sink.recipients == []


def test_relay_that_wants_a_login_stops_everything(connect: Connect) -> None:
    _, connection = connect(Script(rules=((".", "530 5.7.0 authentication required"),)))
    with pytest.raises(PermanentProviderError, match="Check the gateway's login"):
        connection.send(message())


@pytest.mark.parametrize(
    ("banner", "error"),
    [
        ("554 5.7.1 you are blocked", PermanentProviderError),
        ("421 4.3.2 too busy", TemporaryProviderError),
        ("HTTP/1.1 400 Bad Request", TemporaryProviderError),
        ("", TemporaryProviderError),
        ("220-" + "x" * 100_000, TemporaryProviderError),
    ],
)
def test_unfriendly_greetings(banner: str, error: type[ProviderError]) -> None:
    with SmtpSink(Script(banner=banner)) as sink, pytest.raises(error) as caught:
        account(sink.port).connect()
    assert caught.value.raw


def test_silent_server_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(TemporaryProviderError) as caught:
            account(silent.getsockname()[1], reply_timeout=0.2).connect()
        assert caught.value.raw == "timed out"


def test_non_ascii_local_parts_need_the_server(connect: Connect) -> None:
    sink, connection = connect()
    assert connection.send(message("анна@xn--e1afmkfd.test")).status is SendStatus.ACCEPTED
    assert sink.recipients == ["анна@xn--e1afmkfd.test"]
    _, old = connect(Script(extensions=("PIPELINING",)))
    result = old.send(message("анна@xn--e1afmkfd.test"))
    assert (result.status, result.code) == (SendStatus.REFUSED, 550)
    assert "SMTPUTF8" in result.raw


@pytest.mark.parametrize(
    "address",
    [
        "a@b.test>\r\nRCPT TO:<c@d.test",
        "a b@c.test",
        "a@b.test\n",
        "",
        "<a@b.test>",
        "a@b@c.test",
        "a\0@b.test",
    ],
)
def test_commands_cannot_be_smuggled_in_an_address(connect: Connect, address: str) -> None:
    sink, connection = connect()
    assert connection.send(message(address)).status is SendStatus.REFUSED
    assert sink.recipients == []


@pytest.mark.parametrize(
    "body", ["a\nb", "a\rb", "\n.\nMAIL FROM:<x@y.test>", "a\r\r\nb", "\r\n.\n"]
)
def test_bare_line_ends_never_leave(connect: Connect, body: str) -> None:
    sink, connection = connect()
    result = connection.send(message(body=body))
    assert result.status is SendStatus.REFUSED
    assert "not CRLF" in result.raw
    assert sink.recipients == []


def test_provider_test_returns_the_servers_words() -> None:
    with SmtpSink(Script(banner="220 mail.example.test at your service")) as sink:
        words = account(sink.port).test()
    assert "220 mail.example.test at your service" in words
    assert "PIPELINING" in words


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that nobody has signed, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sink")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(
            name,
            name,
            key.public_key(),
            x509.random_serial_number(),
            now,
            now + datetime.timedelta(1),
        )
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "sink.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("auth", ["PLAIN LOGIN", "LOGIN"])
def test_starttls_and_login(connect: Connect, tls: ssl.SSLContext, auth: str) -> None:
    script = Script(starttls=tls, login=("mailer", "s3cret"), auth=auth)
    login = {"security": "starttls", "verify_certificate": False, "username": "mailer"}
    sink, connection = connect(script, **login, password="s3cret")
    assert connection.send(message()).status is SendStatus.ACCEPTED
    with pytest.raises(PermanentProviderError, match="535") as caught:
        account(sink.port, **login, password="guess").connect()
    assert "guess" not in str(caught.value) + caught.value.raw


def test_certificates_are_verified(
    tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SmtpSink(Script(starttls=tls)) as sink:
        with pytest.raises(
            PermanentProviderError, match=r"certificate of 127\.0\.0\.1 is signed by nobody"
        ):
            account(sink.port, security="starttls").connect()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        account(sink.port, security="starttls").connect().close()


def test_missing_starttls_is_never_ignored() -> None:
    with SmtpSink() as sink, pytest.raises(PermanentProviderError, match="offers no STARTTLS"):
        account(sink.port, security="starttls").connect()


def test_plain_server_behind_a_tls_setting() -> None:
    with SmtpSink() as sink, pytest.raises(TemporaryProviderError, match="No TLS with"):
        account(sink.port, security="tls", connect_timeout=2).connect()


def test_passwords_need_tls() -> None:
    with pytest.raises(ValidationError, match="over TLS only"):
        account(25, username="mailer", password="x")


def test_threads_each_with_a_connection() -> None:
    with SmtpSink(Script(delay_ms=(0, 2), seed=7)) as sink:

        def work(worker: int) -> None:
            connection = account(sink.port).connect()
            for n in range(50):
                assert (
                    connection.send(message(f"c{worker}-{n}@example.test")).status
                    is SendStatus.ACCEPTED
                )
            connection.close()

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(sink.recipients)) == 200


def test_sink_records_before_it_answers(tmp_path: Path) -> None:
    """As a process of its own the sink is the witness of kill tests."""
    record = tmp_path / "record"
    command = [sys.executable, "-m", "smtp_sink", "--record", str(record), "--delay-ms", "500-600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]) as sink:
        assert sink.stdout
        connection = account(int(sink.stdout.readline()), final_timeout=0.25).connect()
        started = time.monotonic()
        assert connection.send(message("anna@example.test")).status is SendStatus.UNKNOWN
        assert time.monotonic() - started < 0.5
        assert '"rcpt": "anna@example.test", "message_id": "<k1@envoi.test>"' in record.read_text()
        connection.close()
        sink.terminate()
    assert sink.returncode == 0
