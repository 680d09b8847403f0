"""DKIM signatures (RFC 6376, RFC 8463): relaxed/relaxed, by RSA or Ed25519.

The cost of a message is the hash of its body and one signature; the fields are few, and a body
of ours is in canonical form already, which is asked and not assumed.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from time import time

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

Key = RSAPrivateKey | Ed25519PrivateKey

LEAST_RSA_BITS = 1024
"""Verifiers ignore shorter keys; 2048 is what everybody should use (RFC 8301)."""

SIGNED = (
    *(b"from", b"to", b"subject", b"date", b"message-id", b"reply-to", b"mime-version"),
    *(b"content-type", b"list-unsubscribe", b"list-unsubscribe-post", b"feedback-id"),
)
"""The fields that are signed where a message has them."""

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)\r\n")
_SPACE = re.compile(rb"[ \t\r\n]+")
_SPACES = re.compile(rb"[ \t]+")
_SPACE_AT_END = re.compile(rb"[ \t]+(?=\r\n)")


@dataclass(frozen=True)
class DkimSigner:
    """Signs for one domain; safe to share between threads."""

    domain: str
    selector: str
    key: Key

    @property
    def record_name(self) -> str:
        """Where the public key is to be published."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def record(self) -> str:
        """The TXT record to publish there."""
        public = self.key.public_key()
        if isinstance(self.key, RSAPrivateKey):
            data = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            return f"v=DKIM1; k=rsa; p={_base64(data)}"
        data = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return f"v=DKIM1; k=ed25519; p={_base64(data)}"

    def sign(self, payload: bytes) -> bytes:
        """Return the message with its signature before the other fields."""
        head, _, body = payload.partition(b"\r\n\r\n")
        fields = {
            match[1].lower(): _SPACE.sub(b" ", match[2]).strip()
            for match in _FIELD.finditer(head + b"\r\n")
        }
        names = [name for name in SIGNED if name in fields]
        is_rsa = isinstance(self.key, RSAPrivateKey)
        # "from" is named twice, so that nobody can add a second one.
        listed = b":".join([b"from", *names]).decode()
        unsigned = (
            f"v=1; a={'rsa' if is_rsa else 'ed25519'}-sha256; c=relaxed/relaxed;"
            f" d={self.domain}; s={self.selector}; t={int(time())};\r\n"
            f" h={listed};\r\n"
            f" bh={_base64(sha256(canonical_body(body)).digest())};\r\n b="
        ).encode()
        signed = b"".join(name + b":" + fields[name] + b"\r\n" for name in names)
        signed += b"dkim-signature:" + _SPACE.sub(b" ", unsigned)
        signature = _folded(_base64(self._signature(signed)))
        return b"DKIM-Signature: " + unsigned + signature.encode() + b"\r\n" + payload

    def _signature(self, data: bytes) -> bytes:
        if isinstance(self.key, RSAPrivateKey):
            return self.key.sign(data, PKCS1v15(), hashes.SHA256())
        return self.key.sign(sha256(data).digest())


def canonical_body(body: bytes) -> bytes:
    """The body in relaxed form."""
    if b"\t" in body or b"  " in body or b" \r\n" in body:
        body = _SPACES.sub(b" ", _SPACE_AT_END.sub(b"", body))
    body = body.rstrip(b"\r\n")
    return body + b"\r\n" if body else b""


def read_key(pem: str) -> Key:
    """Read a private key; raise `ValueError` with a sentence for people."""
    try:
        key = load_pem_private_key(pem.strip().encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(
            "This is no private key without a password in PEM form. It begins with"
            " -----BEGIN PRIVATE KEY-----."
        ) from None
    if isinstance(key, Ed25519PrivateKey):
        return key
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("DKIM knows RSA and Ed25519 keys. Make one of them.")
    if key.key_size < LEAST_RSA_BITS:
        raise ValueError("The key is shorter than 1024 bits, which nobody accepts. Use 2048 bits.")
    return key


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _folded(text: str) -> str:
    return "\r\n ".join(text[i : i + 72] for i in range(0, len(text), 72))
