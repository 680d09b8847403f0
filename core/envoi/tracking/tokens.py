"""Signed tokens that name a message in links, return paths and Message-IDs."""

from __future__ import annotations

import binascii
import re
from base64 import b32decode, b32encode
from collections.abc import Sequence
from datetime import date
from enum import IntEnum
from hashlib import blake2b
from hmac import compare_digest
from struct import Struct
from typing import NamedTuple

from envoi.errors import ConfigurationError, NotFoundError
from envoi.secrets import secret_keys
from envoi.settings import Settings
from envoi.tracking import codes

_HEAD = Struct(">BIQQBH")
"""Key id, tenant, run, customer, step and variant in one byte, launch day: 24 bytes."""
_TAIL = Struct(">BH")
_MAC_BYTES = 18
_WHOLE = Struct(f"{_HEAD.format}BH{_MAC_BYTES}s")
_KEY_MAC_BYTES = 11
_EPOCH = date(2020, 1, 1).toordinal()

_TOKEN = re.compile(r"[A-Za-z0-9_-]{60}", re.ASCII)
_MESSAGE_KEY = re.compile(r"[a-z2-7]{56}", re.ASCII)
_TO_URLSAFE = bytes.maketrans(b"+/", b"-_")
_FROM_URLSAFE = bytes.maketrans(b"-_", b"+/")


class TokenKind(IntEnum):
    """What a token lets its bearer do; a token of one kind is refused for another."""

    OPEN = 1
    CLICK = 2
    UNSUBSCRIBE = 3
    PREFERENCES = 4
    VIEW = 5
    PREVIEW = 6


_TOKEN_KINDS = {int(kind): kind for kind in TokenKind}


class InvalidTokenError(NotFoundError):
    """The token is altered, foreign, cut off or of an unknown key: one answer for all."""

    def __init__(self) -> None:
        super().__init__("The link is not valid. Open it from the original message.")


# Every message and every hit makes these; a named tuple takes a third of a frozen data class.
class MessageRef(NamedTuple):
    """The ledger's key of one message and its variant; `step` and `variant` are below 16."""

    tenant_id: int
    run_id: int
    customer_id: int
    launched_on: date
    step: int = 0
    variant: int = 0


class Token(NamedTuple):
    """What a genuine token says."""

    kind: TokenKind
    message: MessageRef
    link: int = 0


class MessageTokens:
    """Makes all tokens of one message; what they share is signed and encoded once."""

    __slots__ = ("_encoded", "_key", "_mac", "_ref")

    def __init__(self, key: _Key, ref: MessageRef) -> None:
        head = key.head(ref)
        self._key, self._ref = key, ref
        self._mac = key.link_mac.copy()
        self._mac.update(head)
        self._encoded = _encode(head)

    def token(self, kind: TokenKind, link: int = 0, target: str = "") -> str:
        """A token; `target`, where given, travels beside it and cannot be altered either."""
        tail = _TAIL.pack(kind, link)
        mac = self._mac.copy()
        mac.update(tail + target.encode() if target else tail)
        return self._encoded + _encode(tail + mac.digest())

    def code(self, link: int) -> str | None:
        """The short form of a click's token; None where its numbers have no room in it."""
        ref = self._ref
        where = (ref.tenant_id, ref.run_id, ref.customer_id, ref.step, ref.variant)
        packed = codes.packed(codes.ShortClick(*where, link))
        if packed is None:
            return None
        mac = self._key.code_mac.copy()
        mac.update(packed)
        return codes.spelled(packed + mac.digest())


class TokenSigner:
    """Signs with the first key of a ring and accepts all of them.

    The keys are derived from the installation's secrets for this purpose alone, so that a
    token never is worth anything as a session, nor the other way round.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets or not all(secrets):
            raise ConfigurationError("Links cannot be signed without a key. Set ENVOI_SECRET_KEY.")
        self._ring = [_Key(secret) for secret in secrets]
        self._link_macs = [key.link_mac for key in self._ring]
        self._message_macs = [key.message_mac for key in self._ring]
        self._code_macs = [key.code_mac for key in self._ring]

    def message(self, ref: MessageRef) -> MessageTokens:
        """A maker of this message's tokens."""
        return MessageTokens(self._ring[0], ref)

    def sign(self, ref: MessageRef, kind: TokenKind, link: int = 0, target: str = "") -> str:
        """One token; for several of one message, `message` is cheaper."""
        return self.message(ref).token(kind, link, target)

    def read(self, token: str, target: str = "") -> Token:
        """What a token says, if it is genuine together with its target.

        Raises:
            InvalidTokenError: It is not, for whatever reason.
        """
        if not _TOKEN.fullmatch(token):
            raise InvalidTokenError
        raw = binascii.a2b_base64(token.encode().translate(_FROM_URLSAFE))
        _, tenant_id, run_id, customer_id, place, day, number, link, mac = _WHOLE.unpack(raw)
        signed = raw[:-_MAC_BYTES]
        self._verify(self._link_macs, signed + target.encode() if target else signed, mac)
        kind = _TOKEN_KINDS.get(number)
        if kind is None:
            raise InvalidTokenError
        return Token(kind, _message(tenant_id, run_id, customer_id, place, day), link)

    def read_code(self, code: str) -> codes.ShortClick:
        """What a genuine short code says; raise `InvalidTokenError` for any other."""
        found = codes.read(code)
        if found is None:
            raise InvalidTokenError
        self._verify(self._code_macs, *found)
        return codes.unpacked(found[0])

    def message_key(self, ref: MessageRef) -> str:
        """A key for return paths and Message-IDs: 56 of a-z and 2-7, whatever their case."""
        key = self._ring[0]
        head = key.head(ref)
        mac = key.message_mac.copy()
        mac.update(head)
        return b32encode(head + mac.digest()).decode("ascii").lower()

    def read_message_key(self, key: str) -> MessageRef:
        """The message a genuine key names; raise `InvalidTokenError` for any other."""
        if not _MESSAGE_KEY.fullmatch(key.lower()):
            raise InvalidTokenError
        raw = b32decode(key.upper())
        head, mac = raw[: _HEAD.size], raw[_HEAD.size :]
        self._verify(self._message_macs, head, mac)
        return _read_head(head)

    def shared_secrets(self, purpose: str) -> Sequence[str]:
        """A secret to share with somebody for one purpose, for each key of the ring."""
        return [key.shared_secret(purpose) for key in self._ring]

    @staticmethod
    def _verify(ring: Sequence[blake2b], signed: bytes, given: bytes) -> None:
        """Try every key, so that the time taken does not tell which one came close."""
        genuine = False
        for keyed in ring:
            mac = keyed.copy()
            mac.update(signed)
            genuine |= compare_digest(mac.digest(), given)
        if not genuine:
            raise InvalidTokenError


def signer_of(settings: Settings) -> TokenSigner:
    """The signer of an installation's links: its key signs, keys of before are still known."""
    return TokenSigner(secret_keys(settings))


class _Key:
    """One secret of the ring, made into a key for links, one for codes and one for messages."""

    def __init__(self, secret: str) -> None:
        link = blake2b(secret.encode(), person=b"envoi-links").digest()
        message = blake2b(secret.encode(), person=b"envoi-msgkey").digest()
        code = blake2b(secret.encode(), person=b"envoi-codes").digest()
        self._shared = blake2b(secret.encode(), person=b"envoi-shared").digest()
        self.link_mac = blake2b(key=link, digest_size=_MAC_BYTES)
        self.code_mac = blake2b(key=code, digest_size=codes.MAC_BYTES)
        self.message_mac = blake2b(key=message, digest_size=_KEY_MAC_BYTES)
        self._id = blake2b(link, digest_size=1, person=b"envoi-key-id").digest()[0]

    def shared_secret(self, purpose: str) -> str:
        return blake2b(purpose.encode(), key=self._shared, digest_size=32).hexdigest()

    def head(self, ref: MessageRef) -> bytes:
        day = ref.launched_on.toordinal() - _EPOCH
        place = ref.step << 4 | ref.variant
        return _HEAD.pack(self._id, ref.tenant_id, ref.run_id, ref.customer_id, place, day)


def _encode(raw: bytes) -> str:
    """Base64 of a multiple of three bytes, so that no bit of the text is without meaning."""
    return binascii.b2a_base64(raw, newline=False).translate(_TO_URLSAFE).decode("ascii")


def _read_head(head: bytes) -> MessageRef:
    return _message(*_HEAD.unpack_from(head)[1:])


def _message(tenant_id: int, run_id: int, customer_id: int, place: int, day: int) -> MessageRef:
    launched_on = date.fromordinal(_EPOCH + day)
    return MessageRef(tenant_id, run_id, customer_id, launched_on, place >> 4, place & 15)
