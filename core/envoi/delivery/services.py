"""Push services: one message goes to every device, each through the account of its service."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic
from typing import Any

import structlog
from sqlalchemy.orm import Session

from envoi.delivery.batches import most_at_once, sent
from envoi.delivery.circuit import BACK_OFF, BackOff
from envoi.delivery.gateways import get_gateway, open_gateway
from envoi.delivery.routes import Route
from envoi.delivery.submissions import whole
from envoi.errors import EnvoiError, ProviderError
from envoi.plugins import Plugins, fence
from envoi.settings import Settings
from envoi.types import (
    Connection,
    Device,
    Outgoing,
    Provider,
    SendResult,
    SendStatus,
    Submission,
)

log = structlog.get_logger()

MESSAGES_AT_ONCE = 100
ANY_SERVICE = ""
"""The service of an account that knows the devices of all of them."""


@dataclass
class Account:
    """An account of one push service, and how long it rests after it failed.

    A service that fails holds up nobody else: its devices' messages are tried again later.
    `fenced` calls into the provider, so that whatever it raises names its plugin.
    """

    provider: Provider
    fenced: Callable[[Callable[[], Any]], Any]
    back_off: BackOff = BACK_OFF
    _failures: int = 0
    _until: float = 0.0
    _trouble: ProviderError | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def connect(self) -> Connection:
        """Open a connection; while the account rests, raise what it failed with."""
        if self._trouble is not None and monotonic() < self._until:
            raise self._trouble
        connection: Connection = self.fenced(self.provider.connect)
        return connection

    def failed(self, error: ProviderError) -> None:
        """Let it rest, longer each time, or as long as the service asks for."""
        with self._lock:
            if error is self._trouble and monotonic() < self._until:
                return
            self._failures += 1
            pause = self.back_off.after(self._failures, error.retry_after)
            self._until, self._trouble = monotonic() + pause.total_seconds(), error

    def worked(self) -> None:
        """Forget the failures."""
        self._failures, self._trouble = 0, None


def open_services(
    session: Session, plugins: Plugins, settings: Settings, tenant_id: int, route: Route
) -> Services:
    """Return the accounts that a route names as one provider of push messages."""
    accounts: dict[str, Account] = {}
    for gateway_id, _ in route.services or ((route.gateway_id, route.version),):
        name = get_gateway(session, tenant_id, gateway_id).provider
        opened = open_gateway(session, plugins, settings, tenant_id, gateway_id)
        fenced = partial(fence, plugins, "provider", name)
        accounts[plugins.providers[name].service] = Account(opened, fenced)
    return Services(accounts)


class Services(Provider):
    """The accounts of all services as one provider; what fails of the first one is its failure."""

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        self._accounts = accounts

    def connect(self) -> Connection:
        """Return a connection that opens those to the services when they are needed."""
        return ServicesConnection(self._accounts)

    def test(self) -> str:
        """Try every account and return their words, a line each."""
        tried = (f"{name}: {a.provider.test()}" for name, a in self._accounts.items())
        return "\n".join(tried)


@dataclass(frozen=True)
class _HandOver:
    """A message to one device; `place` is the message's in its batch."""

    place: int
    device: Device
    message: Outgoing


class ServicesConnection:
    """Takes messages apart into hand-overs and puts what became of them together."""

    batch_size = MESSAGES_AT_ONCE

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        self._accounts = accounts
        self._open: dict[str, Connection] = {}
        self.fault: EnvoiError | None = None
        """The plugin of a service that broke its contract; what others answered still counts."""

    def send(self, message: Outgoing) -> SendResult:
        """Hand one message over to all of its devices."""
        return self.send_batch([message])[0]

    def send_batch(self, messages: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Hand messages over, service by service.

        Raises:
            ProviderError: The first account failed, and no other one took anything either.
        """
        found: dict[int, list[Submission]] = defaultdict(list)
        by_service = self._by_service(messages)
        answered = {s: self._hand_over(s, each) for s, each in by_service.items()}
        _, trouble = answered.get(next(iter(self._accounts)), ([], None))
        if isinstance(trouble, ProviderError) and not any(
            results for results, _ in answered.values()
        ):
            raise trouble
        for service, (results, trouble) in answered.items():
            hand_overs = by_service[service]
            if trouble is not None:
                waiting = len(hand_overs) - len(results)
                results += [_not_now(service, trouble)] * waiting
            for each, result in zip(hand_overs, results, strict=True):
                found[each.place].append(_submission(each.device, result))
        return [_together(found[place]) for place in range(len(messages))]

    def close(self) -> None:
        """Close what is open."""
        while self._open:
            self._open.popitem()[1].close()

    def _by_service(self, messages: Sequence[Outgoing]) -> Mapping[str, list[_HandOver]]:
        found: dict[str, list[_HandOver]] = defaultdict(list)
        for place, message in enumerate(messages):
            for device in message.devices:
                to_device = replace(message, address=device.token, devices=(device,))
                service = device.service if device.service in self._accounts else ANY_SERVICE
                found[service].append(_HandOver(place, device, to_device))
        return found

    def _hand_over(
        self, service: str, hand_overs: Sequence[_HandOver]
    ) -> tuple[list[SendResult], EnvoiError | None]:
        """Return the answers, and what failed where there are fewer than hand-overs."""
        account = self._accounts.get(service)
        if account is None:
            return [_unserved(each.device) for each in hand_overs], None
        answers: list[SendResult] = []
        leaving = 0
        try:
            with self._connected(service, account) as connection:
                batches = _batches(connection, [each.message for each in hand_overs])
                for batch in account.fenced(lambda: list(batches)):
                    leaving = len(batch)
                    answers += account.fenced(partial(sent, connection, batch))
                    leaving = 0
        except ProviderError as error:
            return answers, error
        except EnvoiError as error:
            self.fault = error
            return answers + [_nobody_knows(error)] * leaving, error
        return answers, None

    @contextmanager
    def _connected(self, service: str, account: Account) -> Iterator[Connection]:
        """Lend the connection to a service; one that fails is closed, and the service rests."""
        try:
            connection = self._open.get(service) or account.connect()
            self._open[service] = connection
            yield connection
        except EnvoiError as error:
            if isinstance(error, ProviderError):
                account.failed(error)
            log.warning("push_service_failed", service=service, error=str(error))
            if (broken := self._open.pop(service, None)) is not None:
                broken.close()
            raise
        account.worked()


def _batches(connection: Connection, messages: Sequence[Outgoing]) -> Iterator[Sequence[Outgoing]]:
    size = most_at_once(connection)
    for start in range(0, len(messages), size):
        yield messages[start : start + size]


def _submission(device: Device, result: SendResult) -> Submission:
    return Submission(
        number=device.id,
        status=result.status,
        code=result.code,
        provider_id=result.provider_id,
        raw=result.raw,
        address_gone=result.address_gone,
        gone_since=result.gone_since,
    )


def _together(submissions: Sequence[Submission]) -> SendResult:
    if not submissions:
        return SendResult(status=SendStatus.REFUSED, raw="The customer has no device any more.")
    return whole(SendResult(status=submissions[0].status, submissions=tuple(submissions)))


def _not_now(service: str, error: EnvoiError) -> SendResult:
    """The answer for a device whose service takes nothing at the moment; it has not left."""
    said = (error.raw if isinstance(error, ProviderError) else "") or error
    return SendResult(status=SendStatus.REFUSED_NOW, raw=f"{service}: {said}")


def _nobody_knows(error: EnvoiError) -> SendResult:
    return SendResult(status=SendStatus.UNKNOWN, raw=str(error))


def _unserved(device: Device) -> SendResult:
    raw = f"No gateway serves devices of {device.service}. Set one up in Settings."
    return SendResult(status=SendStatus.REFUSED, raw=raw)
