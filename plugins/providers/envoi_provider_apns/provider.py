"""The Apple Push Notification service over HTTP/2, as documented at developer.apple.com."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from textwrap import wrap
from typing import Annotated
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import Field

from envoi.access import LongSecret, readable, signed_token
from envoi.http2 import Http2Client
from envoi.outgoing import (
    AccountSettings,
    Answer,
    Request,
    TestAddress,
    WebAccount,
    apple_body,
    apple_headers,
)
from envoi.types import Outgoing, SendResult, SendStatus

TOKEN_SECONDS = 2_400
"""A token is good for an hour, and a new one before 20 minutes is refused. Its moment is a whole
multiple and its signature always the same, so all processes have one token without talking."""

_NOBODY = "0" * 64
_ACCOUNT = {
    *("BadCertificate", "BadCertificateEnvironment", "BadTopic", "Forbidden", "MissingTopic"),
    *("InvalidProviderToken", "MissingProviderToken", "TopicDisallowed", "BadPath"),
    *("ExpiredProviderToken", "UnrelatedKeyIdInToken", "BadEnvironmentKeyIdInToken"),
}
"""What is wrong with the account, not with a message."""
_BUSY = {"ServiceUnavailable", "Shutdown", "TooManyProviderTokenUpdates"}
_FRAME = re.compile(r"-----(BEGIN|END) [A-Z ]+-----|\s")


def key_of(typed: str) -> ec.EllipticCurvePrivateKey:
    """Read a key, also one whose line breaks were lost on the way; `ValueError` for any other."""
    body = "\n".join(wrap(_FRAME.sub("", typed), 64))
    pem = f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"
    key = load_pem_private_key(pem.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("it is of another kind")
    return key


class Environment(StrEnum):
    """Which of Apple's services knows the tokens of the app."""

    PRODUCTION = "production"
    SANDBOX = "sandbox"

    @property
    def label(self) -> str:
        """What a person chooses."""
        return "App Store and TestFlight" if self is Environment.PRODUCTION else "Development"

    @property
    def url(self) -> str:
        """Where it is."""
        name = "api" if self is Environment.PRODUCTION else "api.sandbox"
        return f"https://{name}.push.apple.com"


class ApnsSettings(AccountSettings):
    """An app at Apple, and the key that signs for its team."""

    topic: str = Field(
        pattern=r"^[A-Za-z0-9.-]{1,155}$",
        title="Bundle ID",
        description="Of the app, such as com.example.shop.",
    )
    team_id: str = Field(pattern=r"^[A-Z0-9]{10}$", title="Team ID")
    key_id: str = Field(pattern=r"^[A-Z0-9]{10}$", title="Key ID")
    key: Annotated[
        LongSecret, readable(key_of, "This is no key of Apple's. Paste the whole .p8 file.")
    ] = Field(
        title="Key",
        description="The content of the .p8 file: in Apple's developer account open Keys.",
    )
    environment: Environment = Field(
        Environment.PRODUCTION,
        title="Environment",
        description="Tokens of one are unknown in the other.",
    )
    url: TestAddress = ""


class ApnsAccount(WebAccount):
    """An app at Apple."""

    name = "APNs"
    advice = "Check key, team and bundle ID."
    client = Http2Client
    batch_size = 100

    def __init__(self, settings: ApnsSettings) -> None:
        super().__init__(settings.url or settings.environment.url)
        self._settings = settings
        self._key = key_of(settings.key.get_secret_value())
        self._token_at = lru_cache(2)(self._token)

    def question(self) -> Request:
        """Send to nobody."""
        path = f"/3/device/{_NOBODY}"
        shows = {**self._shows(), "apns-push-type": "alert"}
        return Request.of_json(path, {"aps": {"alert": {"body": "Envoi"}}}, shows)

    def is_well(self, answer: Answer) -> bool:
        """That the device is unknown shows that all else is well."""
        return _reason(answer) == "BadDeviceToken"

    def written(self, message: Outgoing) -> Request:
        """Write a message; the same key takes the place of an earlier one."""
        name = uuid5(NAMESPACE_URL, f"{message.key}/{message.address}")
        headers = {**self._shows(), **apple_headers(message), "apns-id": str(name)}
        if message.lifetime_seconds:
            headers["apns-expiration"] = str(int(time.time()) + message.lifetime_seconds)
        path = f"/3/device/{quote(message.address, safe='')}"
        return Request.of_json(path, apple_body(message), headers)

    def is_refused(self, answer: Answer) -> bool:
        """Whether the reason is the account's."""
        return _reason(answer) in _ACCOUNT

    def is_busy(self, answer: Answer) -> bool:
        """Whether all messages have to wait; too many to one device are its own matter."""
        return _reason(answer) in _BUSY or answer.status == 503

    def meaning(self, answer: Answer) -> SendResult:
        """Read an answer by the table of Apple's errors."""
        if answer.status == 200:
            name = answer.headers.get("apns-id", "")
            return SendResult(
                status=SendStatus.ACCEPTED, code=200, provider_id=name, raw=name or "200"
            )
        code, raw = answer.status, answer.raw
        reason = _reason(answer)
        if code >= 500 or code == 429 or not reason:
            return SendResult(status=SendStatus.REFUSED_NOW, code=code, raw=raw)
        is_gone = reason == "Unregistered" or (reason == "BadDeviceToken" and self.has_taken)
        since = _moment(answer.fields.get("timestamp")) if reason == "Unregistered" else None
        return SendResult(
            status=SendStatus.REFUSED, code=code, raw=raw, address_gone=is_gone, gone_since=since
        )

    def _shows(self) -> dict[str, str]:
        slot = int(time.time()) // TOKEN_SECONDS * TOKEN_SECONDS
        token = self._token_at(slot)
        return {"authorization": f"bearer {token}", "apns-topic": self._settings.topic}

    def _token(self, issued_at: int) -> str:
        head = {"alg": "ES256", "kid": self._settings.key_id}
        return signed_token(head, {"iss": self._settings.team_id, "iat": issued_at}, self._signed)

    def _signed(self, data: bytes) -> bytes:
        how = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        r, s = decode_dss_signature(self._key.sign(data, how))
        return r.to_bytes(32) + s.to_bytes(32)


def _reason(answer: Answer) -> str:
    return str(answer.fields.get("reason", ""))


def _moment(milliseconds: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(str(milliseconds)) / 1_000, UTC)
    except (ValueError, OverflowError):
        return None
