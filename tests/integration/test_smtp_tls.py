"""Certificates are checked: what is wrong with one is said at the gateway, and nothing is sent."""

from __future__ import annotations

import base64
import datetime
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.types import Outgoing, SendStatus
from envoi_channel_email.settings import SmtpSettings
from envoi_channel_email.smtp import SmtpProvider
from smtp_sink import Script, SmtpSink

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """Somebody who signs certificates; `file` is what trusts it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    folder: Path

    @property
    def file(self) -> Path:
        path = self.folder / "authority.pem"
        path.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        return path

    def context(
        self,
        names: list[x509.GeneralName],
        *,
        begins: datetime.datetime = NOW - DAY,
        ends: datetime.datetime = NOW + DAY,
    ) -> ssl.SSLContext:
        """A server's side of TLS, with a certificate for these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = _builder("server", "authority", key, begins, ends)
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signed = made.sign(self.key, hashes.SHA256())
        path = self.folder / "server.pem"
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(pem + signed.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def _builder(
    subject: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    begins: datetime.datetime,
    ends: datetime.datetime,
) -> x509.CertificateBuilder:
    def name(words: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, words)])

    return (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    made = _builder("authority", "authority", key, NOW - 2 * DAY, NOW + 2 * DAY)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return Authority(key, made.sign(key, hashes.SHA256()), tmp_path)


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that this machine trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


HERE: list[x509.GeneralName] = [x509.IPAddress(ip_address("127.0.0.1"))]


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
        (lambda a: a.context([x509.DNSName("mail.other.test")]), "IP address mismatch"),
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
        with pytest.raises(PermanentProviderError, match=r"unable to get local issuer|self-signed"):
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
