"""FCM, APNs and RuStore on one port over real HTTP/2, with the phones' apps behind them."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs
from uuid import uuid4

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from envoi.demo.push_keys import KEY_ID, PROJECT, TEAM, TOPIC, PushKeys
from envoi.demo.services import RUSTORE_PROJECT, RUSTORE_TOKEN, Conduct, Fault
from envoi_simulators.conduct import HANG_SECONDS, Pace, happens
from envoi_simulators.http2 import Http2Server, Reply, Request
from envoi_simulators.phone import Phone

MOST_BYTES = 4_096

_JSON = (("content-type", "application/json"),)
_FACTS = {"delivered": "delivered", "read": "open", "tapped": "click"}
"""What an app tells of what happens on its phone."""
_OURS = ("aps", "envoi_message", "image", "link")


@dataclass
class Faults:
    """What goes wrong: for every message, or for those to a token."""

    every: Reply | None = None
    by_token: dict[str, Reply] = field(default_factory=dict)
    once: dict[str, Reply] = field(default_factory=dict)
    """As the one before, for the next message to that token only."""
    rejects_keys: bool = False
    """Take nobody's word for who they are."""
    share: float = 1.0
    """How often `every` message is meant, and waits for `seconds`."""
    seconds: float = 0.0
    per_second: int = 0
    pace: Pace = field(default_factory=Pace)

    def reply(self, token: str) -> Reply | None:
        """What is answered instead of taking a message."""
        if named := self.once.pop(token, None) or self.by_token.get(token):
            return named
        if self.pace.is_exceeded(self.per_second):
            return _json(429, {}, retry_after="1")
        if not happens(self.share):
            return None
        time.sleep(self.seconds)
        return self.every

    @classmethod
    def of(cls, conduct: Conduct) -> Faults:
        """The mistakes that somebody has chosen."""
        share = conduct.share / 100
        return {
            Fault.NONE: cls(),
            Fault.THROTTLED: cls(per_second=conduct.per_second),
            Fault.REFUSED: cls(every=_too_large(), share=share),
            Fault.HANGING: cls(seconds=HANG_SECONDS, share=share),
            Fault.CUT: cls(every=Reply(cut=True), share=share),
            Fault.BROKEN: cls(every=Reply(status=503, body=b"<html>Busy</html>"), share=share),
            Fault.NOT_JSON: cls(every=Reply(status=500, body=b"<html>Oh</html>"), share=share),
        }[conduct.fault]


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A message that was taken."""

    service: str
    token: str
    key: str
    fields: Mapping[str, Any]
    seconds_to_live: int | None


class AppFacts:
    """What the company's apps tell the product of messages, by its API."""

    def __init__(self, url: str, api_key: str) -> None:
        self._url, self._api_key = url, api_key

    def __call__(self, key: str, what: str) -> None:
        """Post what happened, where an app would; an error is the caller's."""
        if what not in _FACTS:
            return
        body = json.dumps({"events": [{"type": _FACTS[what], "message_id": key}]}).encode()
        headers = {"authorization": f"Bearer {self._api_key}", "content-type": "application/json"}
        request = urllib.request.Request(f"{self._url}/api/v1/push/events", body, headers)  # noqa: S310 (the demo's own address)
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310
            pass


class PushServices:
    """All services; `taken` is what they took, `logins` counts the tokens of access they saw.

    Args:
        phone: Where messages arrive.
        tell: What an app calls when something happens to its message.
        port: Where to listen; 0 is any free port.
        keys: Those of who is let in; new ones are made without.
        tls: The server's side of TLS; plain HTTP/2 without.
    """

    def __init__(
        self,
        phone: Phone | None = None,
        tell: Callable[[str, str], None] | None = None,
        port: int = 0,
        keys: PushKeys | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._phone, self._tell = phone, tell
        self._keys = keys or PushKeys.made()
        self._server = Http2Server(self._answer, port, tls)
        self._lock = threading.Lock()
        self._rsa, self._ec = _public(self._keys.fcm), _public(self._keys.apns)
        self._granted: set[str] = set()
        self.faults = Faults()
        self.taken: list[Taken] = []
        self.logins: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.port

    @property
    def url(self) -> str:
        """The address to enter in a gateway."""
        return self._server.url

    @property
    def connections(self) -> int:
        """How many clients have connected so far."""
        return self._server.connections

    def start(self) -> None:
        """Take messages from now on."""
        self._server.start()

    def stop(self) -> None:
        """End every connection."""
        self._server.stop()

    def behave(self, conduct: Conduct) -> None:
        """Begin to make the mistakes that somebody has chosen."""
        self.faults = Faults.of(conduct)

    def hang_up(self) -> None:
        """Break the connections that are open."""
        self._server.hang_up()

    def service_account(self) -> str:
        """The key file with which FCM lets the company in."""
        return self._keys.service_account(self.url)

    def apns_key(self) -> str:
        """The key with which APNs lets the company in."""
        return self._keys.apns

    def _answer(self, request: Request) -> Reply:
        if request.path == "/token":
            return self._grant(request)
        if request.path == f"/v1/projects/{PROJECT}/messages:send":
            return self._fcm(request)
        if request.path == f"/v1/projects/{RUSTORE_PROJECT}/messages:send":
            return self._rustore(request)
        if request.path.startswith("/3/device/"):
            return self._apns(request, request.path.rpartition("/")[2])
        return Reply(status=404, body=b"<html>Not found</html>")

    def _grant(self, request: Request) -> Reply:
        """Give a token of access for an assertion that the company's key has signed."""
        assertion = parse_qs(request.body.decode()).get("assertion", [""])[0]
        signed, _, signature = assertion.rpartition(".")
        try:
            self._rsa.verify(
                _decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except (InvalidSignature, ValueError):
            return _json(400, {"error": "invalid_grant", "error_description": "Invalid signature"})
        if self.faults.rejects_keys:
            return _json(401, {"error": "invalid_client"})
        token = uuid4().hex
        with self._lock:
            self._granted.add(token)
            self.logins["fcm"] += 1
        return _json(200, {"access_token": token, "expires_in": 3_600, "token_type": "Bearer"})

    def _fcm(self, request: Request) -> Reply:
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self._granted:
            return fcm_error(401, "UNAUTHENTICATED")
        asked = json.loads(request.body)
        message = asked["message"]
        token = message["token"]
        if reply := self.faults.reply(token):
            return reply
        if len(request.body) > MOST_BYTES:
            return fcm_error(400, "INVALID_ARGUMENT", field="message")
        if asked.get("validate_only"):
            return fcm_error(400, "INVALID_ARGUMENT", field="message.token")
        data, shown = message["data"], message["notification"]
        fields = {**shown, "text": shown.get("body", ""), "link": data.get("link", "")}
        ttl = message["android"].get("ttl")
        seconds = int(ttl.removesuffix("s")) if ttl else None
        self._take("fcm", token, data["envoi_message"], {**fields, "data": data}, seconds)
        return _json(200, {"name": f"projects/{PROJECT}/messages/{uuid4().hex}"})

    def _apns(self, request: Request, token: str) -> Reply:
        if reason := self._stranger(request):
            return apns_error(403, reason)
        if reply := self.faults.reply(token):
            return reply
        if token.strip("0") == "":
            return apns_error(400, "BadDeviceToken")
        if request.headers.get("apns-topic") != TOPIC:
            return apns_error(400, "DeviceTokenNotForTopic")
        if len(request.body) > MOST_BYTES:
            return apns_error(413, "PayloadTooLarge")
        payload = json.loads(request.body)
        alert = payload["aps"]["alert"]
        fields = {
            "title": alert.get("title", ""),
            "text": alert["body"],
            "image": payload.get("image", ""),
            "link": payload.get("link", ""),
            "data": payload,
        }
        until = int(request.headers.get("apns-expiration", "0"))
        seconds = max(0, until - int(time.time())) if until else None
        self._take("apns", token, payload["envoi_message"], fields, seconds)
        return Reply(headers=(("apns-id", request.headers.get("apns-id", "")),))

    def _rustore(self, request: Request) -> Reply:
        is_known = request.headers.get("authorization") == f"Bearer {RUSTORE_TOKEN}"
        if self.faults.rejects_keys or not is_known:
            return fcm_error(403, "PERMISSION_DENIED")
        asked = json.loads(request.body)
        message = asked["message"]
        token = message["token"]
        if reply := self.faults.reply(token):
            return reply
        if len(request.body) > MOST_BYTES:
            return fcm_error(400, "INVALID_ARGUMENT")
        if asked.get("validate_only"):
            return fcm_error(404, "NOT_FOUND")
        data, shown = message["data"], message["notification"]
        fields = {**shown, "text": shown.get("body", ""), "link": data.get("link", "")}
        ttl = message.get("android", {}).get("ttl")
        seconds = int(ttl.removesuffix("s")) if ttl else None
        self._take("rustore", token, data["envoi_message"], {**fields, "data": data}, seconds)
        return _json(200, {})

    def _stranger(self, request: Request) -> str:
        """Why the token of a provider is not good, or nothing."""
        jwt = request.headers.get("authorization", "").removeprefix("bearer ")
        signed, _, signature = jwt.rpartition(".")
        raw = _decoded(signature)
        pair = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
        try:
            self._ec.verify(pair, signed.encode(), ec.ECDSA(hashes.SHA256()))
            head, claims = (json.loads(_decoded(part)) for part in signed.split("."))
        except (InvalidSignature, ValueError):
            return "InvalidProviderToken"
        if self.faults.rejects_keys or (head["kid"], claims["iss"]) != (KEY_ID, TEAM):
            return "InvalidProviderToken"
        if time.time() - claims["iat"] > 3_600:
            return "ExpiredProviderToken"
        with self._lock:
            self.logins[jwt] += 1
        return ""

    def _take(
        self, service: str, token: str, key: str, fields: Mapping[str, Any], seconds: int | None
    ) -> None:
        taken = Taken(service=service, token=token, key=key, fields=fields, seconds_to_live=seconds)
        with self._lock:
            self.taken.append(taken)
        if self._phone is not None:
            self._phone.arrive(
                channel="push",
                address=token,
                text=str(fields["text"]),
                fields=shown_on_phone(fields),
                report=lambda what: self._tell(key, what) if self._tell else None,
            )


def shown_on_phone(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What a person sees of a message, and what its app gets besides."""
    data = {n: v for n, v in fields.get("data", {}).items() if n not in _OURS}
    return {**{name: fields.get(name) or "" for name in ("title", "image", "link")}, "data": data}


def fcm_error(status: int, code: str, *, field: str = "", retry_after: str = "") -> Reply:
    """An error as FCM answers it; `field` is the one that is at fault."""
    details: list[dict[str, Any]] = [
        {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}
    ]
    if field:
        violations = [{"field": field, "description": "Invalid value"}]
        details.append(
            {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}
        )
    error = {"code": status, "message": code, "status": code, "details": details}
    return _json(status, {"error": error}, retry_after)


def _too_large() -> Reply:
    """Refuse a message in the words of all services at once, without a word about the device."""
    found = json.loads(fcm_error(400, "INVALID_ARGUMENT", field="message").body)
    return _json(413, {**found, "reason": "PayloadTooLarge", "code": "80300008", "msg": "size"})


def rustore_error(status: int, code: str) -> Reply:
    """An error as RuStore's documentation lists its fields, without a frame around them."""
    return _json(status, {"code": status, "message": code, "status": code})


def apns_error(
    status: int, reason: str, *, timestamp: int | None = None, retry_after: str = ""
) -> Reply:
    """An error as APNs answers it."""
    found: dict[str, Any] = {"reason": reason}
    if timestamp is not None:
        found["timestamp"] = timestamp
    return _json(status, found, retry_after)


def _json(status: int, value: Any, retry_after: str = "") -> Reply:
    more = (("retry-after", retry_after),) if retry_after else ()
    return Reply(status=status, headers=(*_JSON, *more), body=json.dumps(value).encode())


def _public(pem: str) -> Any:
    return serialization.load_pem_private_key(pem.encode(), None).public_key()


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
