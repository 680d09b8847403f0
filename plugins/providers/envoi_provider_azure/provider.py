"""Azure Notification Hubs by direct send; what becomes of messages there it does not answer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote_plus, urlsplit

from pydantic import Field

from envoi.access import readable
from envoi.outgoing import (
    AccountSettings,
    Answer,
    Client,
    Request,
    Secret,
    TestAddress,
    WebAccount,
    apple_body,
    apple_headers,
    push_parts,
)
from envoi.types import Device, Outgoing, SendResult, SendStatus

ACCESS_SECONDS = 3_600
FORMATS = {"fcm": "FcmV1", "apns": "apple"}
"""What Azure calls the services that it hands on to."""

_NOBODY = Outgoing(
    key="test",
    address="0" * 64,
    sender="",
    payload=b'{"title":"","text":"Envoi","image":"","link":"","data":{}}',
    devices=(Device(id=0, service="apns", token="0" * 64),),
)
_OTHERS = SendResult(
    status=SendStatus.REFUSED,
    raw="The hub serves devices of FCM and APNs only; this one is of another service.",
)
_PARTS = re.compile(
    r"Endpoint=sb://(?P<host>[A-Za-z0-9.-]+)/?;"
    r"SharedAccessKeyName=(?P<name>[^;\s]+);SharedAccessKey=(?P<key>[^;\s]+);?"
)


def access_of(typed: str) -> Mapping[str, str]:
    """Read a connection string: the namespace's `host`, a policy's `name` and `key`."""
    if found := _PARTS.fullmatch(typed):
        return found.groupdict()
    raise ValueError("it has other parts")


class AzureSettings(AccountSettings):
    """A hub and how to get in."""

    hub: str = Field(
        pattern=r"^[A-Za-z0-9./_-]{1,260}$",
        title="Name of the hub",
        description="The hub's own, not that of its namespace.",
    )
    connection_string: Annotated[
        Secret,
        readable(
            access_of,
            "This is no connection string. It begins with Endpoint=sb:// and has a key.",
        ),
    ] = Field(
        title="Connection string",
        description="In Azure open the hub, Access Policies: of one with the right Send.",
    )
    url: TestAddress = ""


class AzureAccount(WebAccount):
    """A hub."""

    name = "Azure"
    advice = "Check hub, connection string and the hub's quota."
    batch_size = 100

    def __init__(self, settings: AzureSettings) -> None:
        self._access = access_of(settings.connection_string.get_secret_value())
        super().__init__(settings.url or f"https://{self._access['host']}")
        self._hub = settings.hub

    def question(self) -> Request:
        """Hand over a message to nobody: that the hub looks at it shows that the key is right."""
        return self.written(_NOBODY)

    def is_well(self, answer: Answer) -> bool:
        """Whether the hub has taken the message, or found that nobody can be told."""
        return answer.status in (200, 201, 400)

    def hand_over(self, client: Client, messages: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Hand over what is to devices that Azure knows, each by a request of its own."""
        ours = [message for message in messages if message.devices[0].service in FORMATS]
        found = iter(super().hand_over(client, ours))
        return [next(found) if m.devices[0].service in FORMATS else _OTHERS for m in messages]

    def written(self, message: Outgoing) -> Request:
        """Write a message for the platform of its device."""
        service = message.devices[0].service
        headers = {
            "authorization": self._signed(),
            "servicebusnotification-format": FORMATS[service],
            "servicebusnotification-devicehandle": message.address,
        }
        if service == "apns":
            headers |= apple_headers(message)
            if message.lifetime_seconds:
                until = datetime.now(UTC) + timedelta(seconds=message.lifetime_seconds)
                headers["servicebusnotification-apns-expiry"] = until.isoformat(timespec="seconds")
        body = apple_body(message) if service == "apns" else _google_body(message)
        path = f"/{self._hub}/messages/?direct&api-version=2015-04"
        return Request.of_json(path, body, headers)

    def is_refused(self, answer: Answer) -> bool:
        """Whether it is the hub or its key that is refused."""
        return answer.status in (401, 403, 404)

    def is_busy(self, answer: Answer) -> bool:
        """Whether all messages have to wait."""
        return answer.status in (429, 503)

    def meaning(self, answer: Answer) -> SendResult:
        """Say what a status means; no answer drops a device."""
        status, raw = answer.status, answer.raw
        if status in (200, 201):
            place = urlsplit(answer.headers.get("location", "")).path.rpartition("/")[2]
            name = place or answer.headers.get("trackingid", "")
            return SendResult(status=SendStatus.ACCEPTED, code=status, provider_id=name, raw=raw)
        is_for_now = status >= 500 or status < 400
        outcome = SendStatus.REFUSED_NOW if is_for_now else SendStatus.REFUSED
        return SendResult(status=outcome, code=status, raw=raw)

    def _signed(self) -> str:
        """Sign a right to send to this hub."""
        place = quote_plus(f"https://{self._access['host']}/{self._hub}".lower())
        until = int(time.time()) + ACCESS_SECONDS
        key = self._access["key"].encode()
        signed = hmac.new(key, f"{place}\n{until}".encode(), hashlib.sha256).digest()
        signature = quote_plus(base64.b64encode(signed))
        name = quote_plus(self._access["name"])
        return f"SharedAccessSignature sr={place}&sig={signature}&se={until}&skn={name}"


def _google_body(message: Outgoing) -> Mapping[str, Any]:
    shown, data = push_parts(message)
    android: dict[str, Any] = {"priority": "HIGH", "notification": {"tag": message.key}}
    if message.lifetime_seconds:
        android["ttl"] = f"{message.lifetime_seconds}s"
    return {"message": {"notification": shown, "data": data, "android": android}}
