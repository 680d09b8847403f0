"""Certificates are checked: what is wrong with one is said at the gateway, and nothing is sent."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.testing.certificates import DAY, HERE, NOW, Authority, make_authority
from envoi.types import Outgoing, SendStatus
from envoi_channel_email.settings import SmtpSettings
from envoi_channel_email.smtp import SmtpProvider
from smtp_sink import Script, SmtpSink


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path)


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that this machine trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


def account(port: int, **values: str | bool) -> SmtpProvider:
    given = {"host": "127.0.0.1", "port": port, "security": "starttls", **values}
    return SmtpProvider(SmtpSettings.model_validate(given))


def message() -> Outgoing:
    payload = b"Message-ID: <k1@envoi.test>\r\n\r\nHello\r\n"
    return Outgoing(key="k1", address="a@b.test", sender="b+k1@c.test", payload=payload)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_good_certificate_is_accepted(trusted: Authority, security: str) -> None:
    tls = trusted.context(HERE)
    script = Script(starttls=tls) if security == "starttls" else Script(implicit_tls=tls)
    with SmtpSink(script) as sink:
        connection = account(sink.port, security=security).connect()
        assert connection.send(message()).status is SendStatus.ACCEPTED
        connection.close()


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda a: a.context(HERE, begins=NOW - 2 * DAY, ends=NOW - DAY), "expired"),
        (lambda a: a.context(HERE, begins=NOW + DAY, ends=NOW + 2 * DAY), "not yet valid"),
        (lambda a: a.context([x509.DNSName("mail.other.test")]), "another server"),
    ],
    ids=["expired", "too early", "another host"],
)
def test_a_bad_certificate_is_named(
    trusted: Authority, security: str, make: Callable[[Authority], ssl.SSLContext], words: str
) -> None:
    tls = make(trusted)
    script = Script(starttls=tls) if security == "starttls" else Script(implicit_tls=tls)
    with SmtpSink(script) as sink:
        provider = account(sink.port, security=security, username="me", password="s3cret")
        for ask in (provider.connect, provider.test):
            with pytest.raises(PermanentProviderError, match=words) as caught:
                ask()
            assert "certificate of 127.0.0.1" in str(caught.value)
        assert sink.recipients == []


def test_nobody_vouches_for_a_certificate(authority: Authority) -> None:
    """Its authority is not trusted here; only who says so in the settings connects."""
    with SmtpSink(Script(starttls=authority.context(HERE))) as sink:
        with pytest.raises(PermanentProviderError, match="signed by nobody"):
            account(sink.port).connect()
        account(sink.port, verify_certificate=False).connect().close()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "CRAM-MD5 PLAIN LOGIN"])
def test_logins(trusted: Authority, mechanism: str) -> None:
    script = Script(starttls=trusted.context(HERE), login=("mailer", "s3cret ü"), auth=mechanism)
    with SmtpSink(script) as sink:
        given = {"username": "mailer", "password": "s3cret ü"}
        connection = account(sink.port, **given).connect()
        assert connection.send(message()).status is SendStatus.ACCEPTED
        connection.close()
        with pytest.raises(PermanentProviderError, match="535"):
            account(sink.port, username="mailer", password="guess").connect()


def test_a_server_that_quotes_the_login_brings_it_onto_no_page(trusted: Authority) -> None:
    script = Script(starttls=trusted.context(HERE), login=("a", "b"), auth="PLAIN")
    with SmtpSink(script) as sink, pytest.raises(PermanentProviderError) as refused:
        account(sink.port, username="mailer", password="s3cret").connect()
    quoted = base64.b64encode(b"\0mailer\0s3cret").decode()
    assert "535 5.7.8 wrong user or password: PLAIN (hidden)" in refused.value.raw
    assert quoted not in f"{refused.value} {refused.value.raw}"


def test_a_login_nobody_knows(trusted: Authority) -> None:
    script = Script(starttls=trusted.context(HERE), login=("a", "b"), auth="XOAUTH2")
    with SmtpSink(script) as sink, pytest.raises(PermanentProviderError, match="CRAM-MD5"):
        account(sink.port, username="a", password="b").connect()


def test_tls_where_there_is_none() -> None:
    with SmtpSink() as sink, pytest.raises(TemporaryProviderError, match="No TLS with"):
        account(sink.port, security="tls").connect()
