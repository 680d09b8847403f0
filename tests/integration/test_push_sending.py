"""A push run: every device gets the message through its own service, and services fail apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import select

from envoi import hookimpl
from envoi.customers.devices import devices_of, register
from envoi.db import Database, table
from envoi.delivery.circuit import BackOff
from envoi.delivery.copies import send_copies
from envoi.delivery.gateways import set_gateway
from envoi.delivery.models import Message, MessageState, Run, Submission, SubmissionState
from envoi.delivery.runs import get_run
from envoi.delivery.sender import SenderSession
from envoi.delivery.sending import Engine
from envoi.errors import ValidationFailedError
from envoi.installation import Installation
from envoi.mailings.copies import send_test
from envoi.mailings.service import create_draft
from envoi.mailings.variants import save_content
from envoi.plugins import Plugins, load_plugins
from envoi.types import Outgoing, ProviderSpec
from envoi_simulators.azure import AzureService
from envoi_simulators.http2 import Reply
from envoi_simulators.push_services import PushServices, apns_error, fcm_error
from factories.customers import customer_ids, make_customers
from factories.delivery import a_run, an_installation
from factories.push import apns_values, azure_values, fcm_values


class NoSettings(BaseModel):
    """An account that needs nothing."""


CONTENT = {
    "title": "News",
    "text": "Hello {{ client.properties.first_name }}",
    "link": "https://shop.test/offer",
}


@pytest.fixture
def installation(database: Database, plugins: Plugins, tmp_path: Path) -> Installation:
    return an_installation(database, plugins, tmp_path)


@pytest.fixture
def services() -> Iterator[PushServices]:
    found = PushServices()
    found.start()
    yield found
    found.stop()


class Desk:
    """A company with customers C-1, C-2, ..., its gateways, and what has been sent."""

    def __init__(self, installation: Installation, tenant_id: int, services: PushServices) -> None:
        self.installation, self.tenant_id, self.services = installation, tenant_id, services
        self.database = installation.database
        with self.database.tenant_session(tenant_id) as session:
            make_customers(session, tenant_id, 3)
            self.people = customer_ids(session, tenant_id)

    def gateway(self, provider: str, *, is_default: bool = False) -> int:
        values = {"fcm": fcm_values, "apns": apns_values}[provider](self.services)
        return self.gateway_with(provider, values, is_default=is_default)

    def gateway_with(self, provider: str, values: dict[str, Any], *, is_default: bool) -> int:
        with self.database.tenant_session(self.tenant_id) as session:
            gateway = set_gateway(
                session,
                self.installation.plugins,
                self.installation.settings,
                self.tenant_id,
                channel="push",
                provider=provider,
                name=provider,
                values=values,
                is_default=is_default,
            )
            return gateway.id

    def device(self, place: int, service: str, token: str) -> int:
        with self.database.tenant_session(self.tenant_id) as session:
            person = self.people[place]
            return register(session, self.tenant_id, person, service=service, token=token)

    def send(self) -> Run:
        """Send a run to everybody until nothing is due at once."""
        tenant_id, data_dir = self.tenant_id, self.installation.settings.data_dir
        with self.database.tenant_session(tenant_id) as session:
            run = a_run(session, tenant_id, None, self.people, content=CONTENT, channel="push")
        with SenderSession(self.database, data_dir, 1) as sender:
            engine = Engine(self.installation, sender, BackOff(first=60))
            while engine.send_run(tenant_id, run.id, lambda: False, seconds=5):
                pass
            engine.connections.close_idle(0)
        with self.database.tenant_session(tenant_id) as session:
            return get_run(session, tenant_id, run.id)

    def states(self, run: Run) -> dict[int, MessageState]:
        c = table(Message).c
        mine = [c.tenant_id == self.tenant_id, c.run_id == run.id]
        mine.append(c.launched_on == run.launched_on)
        with self.database.tenant_session(self.tenant_id) as session:
            found = session.execute(select(c.customer_id, c.state).where(*mine)).all()
        return {self.people.index(row.customer_id): MessageState(row.state) for row in found}

    def submissions(self, run: Run) -> Counter[tuple[int, SubmissionState]]:
        c = table(Submission).c
        mine = (c.tenant_id == self.tenant_id, c.run_id == run.id)
        with self.database.tenant_session(self.tenant_id) as session:
            found = session.execute(select(c.number, c.state).where(*mine)).all()
        return Counter((row.number, SubmissionState(row.state)) for row in found)

    def living(self, place: int) -> set[str]:
        with self.database.tenant_session(self.tenant_id) as session:
            devices = devices_of(session, self.tenant_id, self.people[place])
            return {device.token for device in devices if device.gone_at is None}

    def taken(self) -> set[tuple[str, str]]:
        return {(taken.service, taken.token) for taken in self.services.taken}


@pytest.fixture
def desk(installation: Installation, tenant_id: int, services: PushServices) -> Desk:
    return Desk(installation, tenant_id, services)


def test_every_device_gets_it_through_its_service(desk: Desk) -> None:
    for provider in ("fcm", "apns"):
        desk.gateway(provider)
    first = desk.device(0, "fcm", "a1")
    second = desk.device(0, "apns", "a2")
    third = desk.device(1, "apns", "b1")
    fourth = desk.device(2, "fcm", "c1")
    run = desk.send()
    assert desk.taken() == {("fcm", "a1"), ("apns", "a2"), ("apns", "b1"), ("fcm", "c1")}
    assert set(desk.states(run).values()) == {MessageState.ACCEPTED}
    numbers = (first, second, third, fourth)
    assert desk.submissions(run) == Counter((n, SubmissionState.ACCEPTED) for n in numbers)
    assert len({taken.key for taken in desk.services.taken}) == 3
    links = {taken.fields["link"] for taken in desk.services.taken}
    assert all(link.startswith("http://links.test/") for link in links)
    assert {taken.fields["text"] for taken in desk.services.taken} >= {"Hello Boris"}


def test_a_hub_serves_the_devices_that_have_no_gateway_of_their_own(desk: Desk) -> None:
    with AzureService() as hub:
        desk.gateway_with("azure", azure_values(hub), is_default=True)
        desk.gateway("fcm")
        first, second = desk.device(0, "fcm", "a1"), desk.device(0, "apns", "a2")
        third = desk.device(1, "apns", "b1")
        run = desk.send()
    assert desk.taken() == {("fcm", "a1")}
    assert {taken.address for taken in hub.taken} == {"a2", "b1"}
    accepted = dict.fromkeys([(n, SubmissionState.ACCEPTED) for n in (first, second, third)], 1)
    assert desk.submissions(run) == accepted


def test_a_hub_alone_serves_both_platforms(desk: Desk) -> None:
    with AzureService() as hub:
        desk.gateway_with("azure", azure_values(hub), is_default=True)
        desk.device(0, "fcm", "a1")
        desk.device(0, "apns", "a2")
        desk.send()
    kinds = {taken.address: taken.fields["format"] for taken in hub.taken}
    assert kinds == {"a1": "FcmV1", "a2": "apple"}


def test_devices_that_are_gone_are_dropped_and_people_are_not(desk: Desk) -> None:
    for provider in ("fcm", "apns"):
        desk.gateway(provider)
    desk.device(0, "fcm", "gone")
    desk.device(0, "fcm", "a2")
    desk.device(1, "apns", "old")
    desk.device(2, "fcm", "too-large")
    faults = desk.services.faults.by_token
    faults["gone"] = fcm_error(404, "UNREGISTERED")
    faults["old"] = apns_error(410, "Unregistered", timestamp=1_000)
    faults["too-large"] = fcm_error(400, "INVALID_ARGUMENT", field="message")
    run = desk.send()
    assert desk.states(run) == {
        0: MessageState.ACCEPTED,
        1: MessageState.FAILED,
        2: MessageState.FAILED,
    }
    # Apple speaks of 1970, and the app has named its token since.
    assert [desk.living(place) for place in range(3)] == [{"a2"}, {"old"}, {"too-large"}]


@pytest.mark.parametrize("trouble", [fcm_error(503, "UNAVAILABLE"), Reply(status=502, body=b"<")])
def test_a_service_that_fails_holds_up_nobody_else(desk: Desk, trouble: Reply) -> None:
    desk.gateway("apns", is_default=True)
    desk.gateway("fcm")
    desk.device(0, "fcm", "a1")
    desk.device(1, "apns", "b1")
    desk.device(1, "fcm", "b2")
    desk.device(2, "apns", "c1")
    desk.services.faults.by_token |= {"a1": trouble, "b2": trouble}
    run = desk.send()
    states = desk.states(run)
    assert states == {
        0: MessageState.READY,
        1: MessageState.ACCEPTED,
        2: MessageState.ACCEPTED,
    }
    assert desk.taken() == {("apns", "b1"), ("apns", "c1")}
    assert [desk.living(place) for place in range(3)] == [{"a1"}, {"b1", "b2"}, {"c1"}]


@dataclass
class Nonsense:
    """A push service's provider that breaks its contract, where it is told to."""

    at: str

    @hookimpl
    def register_providers(self) -> Iterable[ProviderSpec]:
        """Bring the provider."""
        yield ProviderSpec(
            name="nonsense",
            label="Nonsense",
            channel="push",
            settings=NoSettings,
            factory=lambda _: self,
            service="hms",
        )

    def connect(self) -> Any:
        if self.at == "connect":
            raise ZeroDivisionError
        return self

    def send(self, message: Outgoing) -> Any:
        return "fine"

    def close(self) -> None:
        pass

    def test(self) -> str:
        return ""


@pytest.mark.parametrize(
    ("at", "known"), [("connect", SubmissionState.REFUSED), ("send", SubmissionState.UNCONFIRMED)]
)
def test_nonsense_of_one_service_names_its_plugin_and_loses_nothing_of_others(
    installation: Installation,
    tenant_id: int,
    services: PushServices,
    at: str,
    known: SubmissionState,
) -> None:
    plugins = load_plugins([("nonsense", Nonsense(at))])
    desk = Desk(replace(installation, plugins=plugins), tenant_id, services)
    desk.gateway("fcm", is_default=True)
    desk.gateway_with("nonsense", {}, is_default=False)
    good, bad = desk.device(0, "fcm", "a1"), desk.device(1, "hms", "b1")
    run = desk.send()
    assert desk.states(run)[0] == MessageState.ACCEPTED
    assert desk.submissions(run) == {(good, SubmissionState.ACCEPTED): 1, (bad, known): 1}
    assert run.pause_reason.startswith("Plugin nonsense: provider nonsense failed")


def test_without_a_gateway_of_its_service_a_device_gets_nothing(desk: Desk) -> None:
    desk.gateway("fcm")
    desk.device(0, "fcm", "a1")
    desk.device(1, "apns", "b1")
    desk.device(2, "apns", "c1")
    desk.device(2, "fcm", "c2")
    run = desk.send()
    assert desk.states(run) == {
        0: MessageState.ACCEPTED,
        1: MessageState.FAILED,
        2: MessageState.ACCEPTED,
    }
    assert desk.taken() == {("fcm", "a1"), ("fcm", "c2")}
    assert desk.living(1) == {"b1"}


def test_what_a_broken_connection_leaves_unknown_is_sent_again(desk: Desk) -> None:
    desk.gateway("fcm")
    for place in range(3):
        desk.device(place, "fcm", f"t{place}")
    desk.services.faults.once["t1"] = Reply(cut=True)
    run = desk.send()
    assert set(desk.states(run).values()) == {MessageState.ACCEPTED}
    assert desk.taken() == {("fcm", "t0"), ("fcm", "t1"), ("fcm", "t2")}


def test_a_copy_goes_to_the_device_that_was_typed_and_to_no_customer(
    desk: Desk, plugins: Plugins
) -> None:
    desk.gateway("fcm")
    desk.gateway("apns")
    desk.device(0, "fcm", "customers-own")
    desk.device(1, "apns", "registered")
    with desk.database.tenant_session(desk.tenant_id) as session:
        draft = create_draft(session, desk.tenant_id, channel="push", name="News")
        save_content(session, desk.tenant_id, draft.id, draft.version, CONTENT)
        about = (session, plugins, desk.installation.settings, desk.tenant_id, draft.id)
        with pytest.raises(ValidationFailedError, match="nobody-knows"):
            send_test(*about, addresses=["nobody-knows"], customer_id=desk.people[0])
        typed = ["registered", "fcm:a:b"]
        run = send_test(*about, addresses=typed, customer_id=desk.people[0])
    send_copies(desk.installation, desk.tenant_id, run.id)
    assert desk.taken() == {("apns", "registered"), ("fcm", "a:b")}
    assert desk.services.taken[0].fields["text"] == "Hello Boris"
