"""DKIM signatures hold before a verifier that is not ours, and break when anything is changed."""

from __future__ import annotations

import re
from base64 import b64decode

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_public_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from envoi_channel_email.dkim import DkimSigner, Key, canonical_body, read_key
from envoi_channel_email.settings import SmtpSettings, dns_records

RSA_KEY = rsa.generate_private_key(65537, 2048)
KEYS: list[Key] = [RSA_KEY, Ed25519PrivateKey.generate()]
MESSAGE = (
    b"From: =?utf-8?b?Rmllbg==?=\r\n <news@fieldmarket.test>\r\n"
    b"To: anna@example.test\r\nSubject: a   subject\r\n\tthat is folded \r\n"
    b"Date: Sun, 22 Nov 2026 08:00:00 +0000\r\nMessage-ID: <k1@fieldmarket.test>\r\n"
    b"List-Unsubscribe: <https://links.test/u/k1>, <mailto:u@fieldmarket.test>\r\n"
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    b"Feedback-ID: 1:2:3:envoi\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n"
    b"X-Other: is not signed\r\n\r\nHello  Anna \t \r\n\r\n.dot\r\n\r\n\r\n"
)


def pem(key: Key | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def signer_of(key: Key) -> DkimSigner:
    return DkimSigner("fieldmarket.test", "envoi", key)


def is_valid(message: bytes, signer: DkimSigner) -> bool:
    def published(name: bytes, timeout: int = 5) -> bytes:
        assert name.decode().rstrip(".") == signer.record_name
        return signer.record.encode()

    return bool(dkim.verify(message, dnsfunc=published))


@pytest.mark.parametrize("key", KEYS)
def test_signatures_hold(key: Key) -> None:
    signer = signer_of(key)
    signed = signer.sign(MESSAGE)
    assert signed.endswith(MESSAGE), "the message itself is not touched"
    assert is_valid(signed, signer)
    assert all(len(line) <= 998 for line in signed.split(b"\r\n"))
    assert signed.count(b"\r\n") == signed.count(b"\n") == signed.count(b"\r")


def test_both_list_fields_are_signed() -> None:
    signed = signer_of(RSA_KEY).sign(MESSAGE)
    listed = re.search(rb"h=([^;]+);", signed)
    assert listed
    names = listed[1].split(b":")
    assert {b"list-unsubscribe", b"list-unsubscribe-post", b"subject", b"to"} <= set(names)
    assert names.count(b"from") == 2, "nobody can add a second From"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Anna", b"Eve"),
        (b"a   subject", b"another"),
        (b"/u/k1", b"/u/k2"),
        (b"One-Click", b"Two-Clicks"),
        (b"news@", b"evil@"),
        (b"To: ", b"From: evil@evil.test\r\nTo: "),
    ],
)
def test_what_is_changed_on_the_way_is_noticed(old: bytes, new: bytes) -> None:
    signer = signer_of(RSA_KEY)
    signed = signer.sign(MESSAGE)
    assert not is_valid(signed.replace(old, new), signer)


def test_what_mail_servers_may_change_is_not() -> None:
    signer = signer_of(RSA_KEY)
    signed = signer.sign(MESSAGE)
    changed = signed.replace(b"a   subject\r\n\tthat", b"a subject that")
    changed = changed.replace(b"Hello  Anna \t ", b"Hello Anna")
    changed = changed.replace(b"X-Other: is not signed", b"X-Other: may change").rstrip() + b"\r\n"
    assert changed != signed
    assert is_valid(changed, signer)


@settings(max_examples=60)
@given(st.lists(st.text("ab \t.", max_size=12), max_size=8), st.booleans())
def test_any_body_is_signed_as_verifiers_read_it(lines: list[str], ends: bool) -> None:
    signer = signer_of(KEYS[1])
    body = "\r\n".join(lines) + ("\r\n" if ends else "")
    assert is_valid(
        signer.sign(MESSAGE.split(b"\r\n\r\n")[0] + b"\r\n\r\n" + body.encode()), signer
    )


@pytest.mark.parametrize(
    ("body", "canonical"),
    [
        (b"", b""),
        (b"\r\n\r\n", b""),
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),
        (b"no end", b"no end\r\n"),
    ],
)
def test_the_examples_of_the_standard(body: bytes, canonical: bytes) -> None:
    assert canonical_body(body) == canonical


def test_the_record_publishes_the_key() -> None:
    kind, value = signer_of(RSA_KEY).record.rsplit("p=", 1)
    assert kind == "v=DKIM1; k=rsa; "
    assert load_der_public_key(b64decode(value)) == RSA_KEY.public_key()


def account(**values: str) -> SmtpSettings:
    return SmtpSettings.model_validate({"host": "mail.test", "security": "none", **values})


def test_the_settings_tell_what_to_publish() -> None:
    given = account(dkim_domain="Fieldmarket.test", dkim_selector="e1", dkim_key=pem(RSA_KEY))
    [record] = dns_records(given)
    assert (record.name, record.type) == ("e1._domainkey.fieldmarket.test", "TXT")
    assert dns_records(account()) == ()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"dkim_domain": "a.test"}, "Fill in all"),
        ({"dkim_domain": "a.test", "dkim_selector": "s", "dkim_key": "x"}, "no private key"),
        ({"dkim_domain": "a.test; d=evil.test", "dkim_selector": "s"}, "dkim_domain"),
        ({"dkim_domain": "a.test", "dkim_selector": "s\r\nBcc: x"}, "dkim_selector"),
    ],
)
def test_half_a_signature_is_refused(values: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        account(**values)


def test_only_keys_that_verifiers_know() -> None:
    assert read_key(pem(RSA_KEY))
    with pytest.raises(ValueError, match="RSA and Ed25519"):
        read_key(pem(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(ValueError, match="no private key"):
        read_key("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----")
