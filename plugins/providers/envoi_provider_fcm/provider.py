"""Firebase Cloud Messaging by its HTTP v1 API, as documented at firebase.google.com."""

from __future__ import annotations

import time
from typing import Annotated, Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import BaseModel, ConfigDict, Field

from envoi.access import LongSecret, TokenAccount, readable, signed_token
from envoi.http2 import Http2Client
from envoi.outgoing import AccountSettings, Answer, Request, TestAddress, push_parts
from envoi.types import Outgoing, SendResult, SendStatus

URL = "https://fcm.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
GRANT_SECONDS = 3_600
LONGEST_LIFE = 2_419_200

_STRANGER = {"UNAUTHENTICATED", "PERMISSION_DENIED"}


class KeyFile(BaseModel):
    """What Envoi needs of the key file of a service account."""

    model_config = ConfigDict(frozen=True)

    project_id: str = Field(pattern=r"^[a-z0-9.:-]{1,100}$")
    client_email: str = Field(min_length=1)
    private_key: str
    private_key_id: str = ""
    token_uri: str = Field(pattern=r"^https?://[^\s/]+/")

    def key(self) -> Any:
        """The key that signs."""
        return load_pem_private_key(self.private_key.encode(), None)


class FcmSettings(AccountSettings):
    """A Firebase project and how to get in."""

    service_account: Annotated[
        LongSecret,
        readable(
            lambda typed: KeyFile.model_validate_json(typed).key(),
            "This is no key file of a service account. Paste the whole JSON file.",
        ),
    ] = Field(
        title="Key file",
        description="The whole JSON file of a service account: in Firebase open Project settings,"
        " Service accounts, Generate new private key.",
    )
    url: TestAddress = ""


class FcmAccount(TokenAccount):
    """A Firebase project."""

    name = "FCM"
    advice = "Check the project's rights, or make a new key file in Firebase and paste it."
    client = Http2Client
    batch_size = 100
    quota_seconds = 60.0

    def __init__(self, settings: FcmSettings) -> None:
        super().__init__(settings.url or URL)
        secret = settings.service_account.get_secret_value()
        self._file = KeyFile.model_validate_json(secret)
        self._path = f"/v1/projects/{self._file.project_id}/messages:send"

    def token_request(self) -> tuple[str, Request]:
        """Ask Google for a token by an assertion that the key signs."""
        file, now = self._file, int(time.time())
        parts = urlsplit(file.token_uri)
        head = {"alg": "RS256", "typ": "JWT", "kid": file.private_key_id}
        claims = {"iss": file.client_email, "scope": SCOPE, "aud": file.token_uri}
        times = {"iat": now, "exp": now + GRANT_SECONDS}
        assertion = signed_token(head, claims | times, self._signed)
        form = {"grant_type": GRANT, "assertion": assertion}
        return f"{parts.scheme}://{parts.netloc}", Request.of_form(parts.path, form)

    def question(self) -> Request:
        """Have a message to nobody checked."""
        message = {"token": "envoi-connection-test", "notification": {"title": "Envoi"}}
        return Request.of_json(self._path, {"validate_only": True, "message": message})

    def is_well(self, answer: Answer) -> bool:
        """That its token is none shows that all else is well."""
        return answer.status == 400 or _code(answer) == "UNREGISTERED"

    def written(self, message: Outgoing) -> Request:
        """Write a message; the same key takes the place of an earlier one."""
        shown, data = push_parts(message)
        android: dict[str, Any] = {"priority": "HIGH", "notification": {"tag": message.key}}
        if message.lifetime_seconds:
            android["ttl"] = f"{min(message.lifetime_seconds, LONGEST_LIFE)}s"
        found = {"token": message.address, "notification": shown, "data": data, "android": android}
        return Request.of_json(self._path, {"message": found})

    def is_old_token(self, answer: Answer) -> bool:
        """A 401 may be about Apple's key as well."""
        return answer.status == 401 and _code(answer) in ("", "UNAUTHENTICATED")

    def is_refused(self, answer: Answer) -> bool:
        """Whether it is the project that is refused."""
        code = _code(answer)
        return code in _STRANGER or (answer.status == 404 and code != "UNREGISTERED")

    def meaning(self, answer: Answer) -> SendResult:
        """Read an answer by the table of FCM's errors."""
        raw, status = answer.raw, SendStatus.REFUSED
        if answer.status == 200 and (name := str(answer.fields.get("name", ""))):
            return SendResult(status=SendStatus.ACCEPTED, code=200, provider_id=name, raw=name)
        code = _code(answer)
        if answer.status >= 500 or code in ("", "THIRD_PARTY_AUTH_ERROR"):
            status = SendStatus.REFUSED_NOW
        names_token = code == "INVALID_ARGUMENT" and _blamed(answer) == {"message.token"}
        is_gone = status is SendStatus.REFUSED and (code == "UNREGISTERED" or names_token)
        return SendResult(status=status, code=answer.status, raw=raw, address_gone=is_gone)

    def _signed(self, data: bytes) -> bytes:
        signature: bytes = self._file.key().sign(data, padding.PKCS1v15(), hashes.SHA256())
        return signature


def _details(answer: Answer) -> list[Any]:
    error = answer.fields.get("error")
    if not isinstance(error, dict):
        return []
    found = error.get("details")
    details = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    return [{"errorCode": error.get("status")}, *details]


def _code(answer: Answer) -> str:
    """The word for an error, the most exact one that there is."""
    codes = [each["errorCode"] for each in _details(answer) if each.get("errorCode")]
    return str(codes[-1]) if codes else ""


def _blamed(answer: Answer) -> set[Any]:
    """The fields of the message that are at fault."""
    found = (each.get("fieldViolations") or () for each in _details(answer))
    return {violation.get("field") for violations in found for violation in violations}
