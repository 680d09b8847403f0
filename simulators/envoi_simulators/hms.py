"""Huawei Push Kit over HTTP/1.1, as its public documentation describes it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

from envoi.demo.services import HMS_CLIENT
from envoi_simulators.http2 import Reply as Scripted
from envoi_simulators.push_web import PushWebService, as_reply
from envoi_simulators.web_service import Asked, Reply

MOST_BYTES = 4_096


class HmsService(PushWebService):
    """Gives tokens of access for the secret `key`."""

    paths = ("oauth2", "v1")

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.granted: list[str] = []

    def expire(self) -> None:
        """Take none of the tokens of access any more that were given so far."""
        self.granted = [""] * len(self.granted)

    def token_of(self, asked: Asked) -> str | None:
        """The only token of a message."""
        if asked.path != f"/v1/{HMS_CLIENT}/messages:send":
            return None
        return str(json.loads(asked.body)["message"]["token"][0])

    def reply(self, asked: Asked) -> Reply:
        """Give a token of access, or take a message."""
        if asked.path == "/oauth2/v3/token":
            return self._grant(asked)
        if asked.path != f"/v1/{HMS_CLIENT}/messages:send":
            return Reply(status=404, body=b"<html>Not found</html>")
        if asked.headers.get("authorization", "").removeprefix("Bearer ") not in self.granted:
            return as_reply(hms_error("80200003", status=401))
        return self._message(json.loads(asked.body))

    def _grant(self, asked: Asked) -> Reply:
        fields = parse_qs(asked.body.decode())
        given = (fields.get("client_id"), fields.get("client_secret"))
        if self.scripted.rejects_keys or given != ([HMS_CLIENT], [self.key]):
            refused = {"error": 1101, "sub_error": 20013, "error_description": "invalid client"}
            return Reply(status=400, body=json.dumps(refused).encode())
        self.granted.append(uuid4().hex)
        found = {"access_token": self.granted[-1], "expires_in": 3600, "token_type": "Bearer"}
        return Reply(body=json.dumps(found).encode())

    def _message(self, body: dict[str, Any]) -> Reply:
        message = body["message"]
        [token] = message.pop("token")
        shown = message["notification"]
        if len(json.dumps(message, ensure_ascii=False).encode()) > MOST_BYTES:
            return as_reply(hms_error("80300008"))
        if not shown.get("title") or not shown.get("body"):
            return as_reply(hms_error("80100003"))
        if body.get("validate_only"):
            return as_reply(hms_error("80000000", status=200))
        taken = self.take(
            channel="push", address=token, sender="", text=shown["body"], fields=message
        )
        data = json.loads(message["data"])
        self.show(taken, {**shown, "link": data.get("link", ""), "data": data})
        return as_reply(hms_error("80000000", status=200))


def hms_error(
    code: str, message: str = "", *, status: int = 400, retry_after: str = ""
) -> Scripted:
    """An answer of Huawei's; most of those with a code have the status 400, or 200."""
    more = (("retry-after", retry_after),) if retry_after else ()
    found = {"code": code, "msg": message or "Success", "requestId": uuid4().hex}
    return Scripted(status=status, headers=more, body=json.dumps(found).encode())
