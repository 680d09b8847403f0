"""Azure Notification Hubs over HTTP/1.1, as its public documentation describes direct send."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from urllib.parse import parse_qs, quote_plus
from uuid import uuid4

from envoi.demo.services import AZURE_HUB as HUB
from envoi.demo.services import AZURE_NAMESPACE as NAMESPACE
from envoi.demo.services import AZURE_POLICY as POLICY
from envoi_simulators.push_web import PushWebService
from envoi_simulators.web_service import Asked, Reply

MOST_BYTES = 4_096
_PATH = f"/{HUB}/messages/?direct&api-version=2015-04"


class AzureService(PushWebService):
    """Takes what the policy's `key` has signed."""

    paths = (HUB,)

    def connection_string(self) -> str:
        """What an administrator copies."""
        return f"Endpoint=sb://{NAMESPACE}/;SharedAccessKeyName={POLICY};SharedAccessKey={self.key}"

    def token_of(self, asked: Asked) -> str | None:
        """The handle of the device."""
        return asked.headers.get("servicebusnotification-devicehandle")

    def reply(self, asked: Asked) -> Reply:
        """Take a message."""
        if asked.path != _PATH:
            return Reply(status=404, body=b"<Error><Code>404</Code></Error>")
        if self.scripted.rejects_keys or not self._is_signed(asked):
            return Reply(status=401, body=b"<Error><Code>401</Code></Error>")
        if len(asked.body) > MOST_BYTES:
            return Reply(status=413, body=b"<Error><Code>413</Code></Error>")
        body = json.loads(asked.body)
        kind = asked.headers["servicebusnotification-format"]
        shown = body["aps"]["alert"] if kind == "apple" else body["message"]["notification"]
        taken = self.take(
            channel="push",
            address=self.token_of(asked) or "",
            sender="",
            text=shown["body"],
            fields={"format": kind, "body": body, "headers": asked.headers},
        )
        data = body if kind == "apple" else body["message"]["data"]
        picture = {"image": data.get("image") or shown.get("image"), "link": data.get("link")}
        self.show(taken, {**shown, **picture, "data": data})
        place = f"https://{NAMESPACE}/{HUB}/messages/{taken.id}?api-version=2015-04"
        return Reply(status=201, headers={"Location": place, "TrackingId": uuid4().hex})

    def _is_signed(self, asked: Asked) -> bool:
        kind, _, fields = asked.headers.get("authorization", "").partition(" ")
        found = {name: values[0] for name, values in parse_qs(fields).items()}
        place = quote_plus(f"https://{NAMESPACE}/{HUB}")
        signed = f"{place}\n{found.get('se', '')}".encode()
        right = base64.b64encode(hmac.new(self.key.encode(), signed, hashlib.sha256).digest())
        return (kind, found.get("skn"), found.get("sig")) == (
            "SharedAccessSignature",
            POLICY,
            right.decode(),
        ) and int(found["se"]) > time.time()
