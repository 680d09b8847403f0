"""Answers the API: JSON in and out, a key in every request, the company taken from the key."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.api.keys import company_of, opens
from envoi.api.limits import PER_MINUTE, STRANGERS_PER_MINUTE, Allowances
from envoi.api.methods import PluginMethods
from envoi.api.requests import DeviceNamed, DeviceRegistered, Fact, Facts, Refusal, read
from envoi.customers.devices import register, sign_off
from envoi.customers.models import Customer
from envoi.db import Database, table
from envoi.errors import (
    ConflictError,
    EnvoiError,
    NotFoundError,
    PluginError,
    Problem,
    ValidationFailedError,
)
from envoi.feedback.intake import Intake
from envoi.feedback.models import Door
from envoi.operations.plugin_errors import note_fault
from envoi.plugins import Plugins
from envoi.tracking.answers import Answer, Environ, answer
from envoi.tracking.forms import body_of
from envoi.tracking.tokens import TokenSigner
from envoi.types import DeliveryEvent, EventType

log = structlog.get_logger()

PATH = "/api/"
MOST_BYTES = 256 * 1024

_EVENTS = "v1/push/events"
_CUSTOMERS, _DEVICES = "v1/customers/", "/devices"
_TYPES = {
    "delivered": EventType.DELIVERED,
    "open": EventType.READ,
    "click": EventType.CLICKED,
}


class Api:
    """The API as a handler of the serving process; used by any number of threads."""

    def __init__(self, database: Database, signer: TokenSigner, plugins: Plugins) -> None:
        self._database = database
        self._intake = Intake(database, signer)
        self._allowances = Allowances()
        self._services = plugins.push_services
        self._methods = PluginMethods(database, plugins)

    def __call__(self, environ: Environ, path: str) -> Answer:
        """Answer a request to a path below `/api/`."""
        key = environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ").strip()
        tenant_id = company_of(key)
        if tenant_id is None:
            return self._stranger(environ)
        with self._database.tenant_session(tenant_id) as session:
            number = opens(session, tenant_id, key)
        if number is None:
            return self._stranger(environ)
        if wait := self._allowances.take(f"{tenant_id}:{number}", PER_MINUTE):
            return _too_many(wait)
        try:
            return self._answer(environ, path, tenant_id)
        except ValidationFailedError as error:
            return _refused("422 Unprocessable Content", *error.problems)
        except EnvoiError as error:
            note_fault(self._database, tenant_id, error)
            return _refused(_status(error), Problem("", str(error)))

    def _answer(self, environ: Environ, path: str, tenant_id: int) -> Answer:
        methods = self._route(path, tenant_id)
        if not methods:
            raise NotFoundError("There is nothing at this address.")
        act = methods.get(environ["REQUEST_METHOD"])
        if act is None:
            problem = Problem("", f"Use {' or '.join(methods)} here.")
            return _refused("405 Method Not Allowed", problem, ("Allow", ", ".join(methods)))
        body = body_of(environ, MOST_BYTES)
        if body is None:
            problem = Problem("", f"At most {MOST_BYTES:,} bytes fit. Send less at once.")
            return _refused("413 Content Too Large", problem)
        return act(body)

    def _route(self, path: str, tenant_id: int) -> dict[str, Callable[[bytes], Answer]]:
        if path == _EVENTS:
            return {"POST": lambda body: self._report(tenant_id, body)}
        if path.startswith(_CUSTOMERS) and path.endswith(_DEVICES):
            name = _text(path.removeprefix(_CUSTOMERS).removesuffix(_DEVICES))
            return {
                "POST": lambda body: self._register(tenant_id, name, body),
                "DELETE": lambda body: self._sign_off(tenant_id, name, body),
            }
        return self._methods.at(_text(path), tenant_id)

    def _register(self, tenant_id: int, external_id: str, body: bytes) -> Answer:
        device = read(DeviceRegistered, body)
        if device.service not in self._services:
            known = ", ".join(sorted(self._services))
            problem = f"There is no push service of this name. Known are: {known}."
            raise ValidationFailedError([Problem("service", problem)])
        with self._database.tenant_session(tenant_id) as session:
            customer_id = _customer(session, tenant_id, external_id)
            number = register(session, tenant_id, customer_id, **device.model_dump())
        return _json("201 Created", {"id": number})

    def _sign_off(self, tenant_id: int, external_id: str, body: bytes) -> Answer:
        device = read(DeviceNamed, body)
        with self._database.tenant_session(tenant_id) as session:
            customer_id = _customer(session, tenant_id, external_id)
            named = {"service": device.service, "token": device.token}
            if not sign_off(session, tenant_id, customer_id, **named):
                raise NotFoundError("The customer has no such device.")
        return answer("204 No Content", "application/json", b"")

    def _report(self, tenant_id: int, body: bytes) -> Answer:
        facts = read(Facts, body).events
        now = datetime.now(UTC)
        for fact in facts:
            raw = json.dumps(fact.model_dump(mode="json"), sort_keys=True).encode()
            self._intake.report(raw, Door.API, tenant_id, 0, _event(fact, now))
        return _json("202 Accepted", {"accepted": len(facts)})

    def _stranger(self, environ: Environ) -> Answer:
        ip = environ.get("REMOTE_ADDR", "")
        if wait := self._allowances.take(f"stranger:{ip}", STRANGERS_PER_MINUTE):
            return _too_many(wait)
        problem = "Send a key of this company: Authorization: Bearer envoi_..."
        more = ("WWW-Authenticate", "Bearer")
        return _refused("401 Unauthorized", Problem("", problem), more)


def _status(error: EnvoiError) -> str:
    if isinstance(error, PluginError):
        log.error("api_method_failed", plugin=error.plugin, reason=str(error))
        return "500 Internal Server Error"
    return "409 Conflict" if isinstance(error, ConflictError) else "404 Not Found"


def _event(fact: Fact, now: datetime) -> DeliveryEvent:
    return DeliveryEvent(
        type=_TYPES[fact.type],
        occurred_at=fact.occurred_at or now,
        message_key=fact.message_id,
    )


def _customer(session: Session, tenant_id: int, external_id: str) -> int:
    c = table(Customer).c
    mine = (c.tenant_id == tenant_id, c.external_id == external_id)
    customer_id: int | None = session.scalar(select(c.id).where(*mine))
    if customer_id is None:
        raise NotFoundError("There is no customer with this external id.")
    return customer_id


def _text(path: str) -> str:
    """A piece of a path as its sender wrote it; what no text can hold names nobody."""
    return path.encode("latin-1", "replace").decode("utf-8", "replace").replace("\0", "�")


def _json(status: str, value: object, *more: tuple[str, str]) -> Answer:
    return answer(status, "application/json", json.dumps(value).encode(), *more)


def _refused(status: str, *found: Problem | tuple[str, str]) -> Answer:
    problems = [each for each in found if isinstance(each, Problem)]
    headers = [each for each in found if isinstance(each, tuple)]
    return _json(status, Refusal.of(problems).model_dump(), *headers)


def _too_many(wait: int) -> Answer:
    problem = Problem("", "Too many requests. Go on in a minute.")
    return _refused("429 Too Many Requests", problem, ("Retry-After", str(wait)))
