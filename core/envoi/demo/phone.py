"""The virtual phone's words, and the way to the process in which the demo's phones live.

Simulated providers hand messages to it (`envoi_simulators`), pages look at it from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from json import dumps, loads
from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

from envoi.demo.services import Conduct, Service, control_token
from envoi.errors import (
    ConflictError,
    EnvoiError,
    NotFoundError,
    ProviderError,
    UnansweredError,
)
from envoi.outgoing import HttpClient
from envoi.settings import Settings

ANSWER_SECONDS = 2.0


class Act(StrEnum):
    """What a person can do with a message that has arrived."""

    DELIVER = "deliver"
    READ = "read"
    TAP = "tap"
    FAIL = "fail"
    SAY_NOTHING = "say_nothing"


class Answer(StrEnum):
    """What a phone does with a new message by itself."""

    WAIT = "wait"
    DELIVER = "deliver"
    READ = "read"


class Happened(BaseModel):
    """One thing that became of a message: delivered, read, tapped or failed; or silenced."""

    model_config = ConfigDict(frozen=True)

    what: str
    at: datetime


class Arrival(BaseModel):
    """A message on a phone; `can` lists what may still be done with it."""

    model_config = ConfigDict(frozen=True)

    id: str
    channel: str
    address: str
    sender: str = ""
    text: str = ""
    fields: dict[str, Any] = Field(default_factory=dict)
    parts: int = 1
    arrived_at: datetime
    happened: list[Happened] = Field(default_factory=list)
    can: list[Act] = Field(default_factory=list)
    takes_reply: bool = False
    replies: list[str] = Field(default_factory=list)


class Manners(BaseModel):
    """How a phone answers by itself."""

    model_config = ConfigDict(frozen=True)

    answer: Answer = Answer.DELIVER
    has_viber: bool = True


class Memory(BaseModel):
    """What phones and services know, so that they know it again after a new start."""

    model_config = ConfigDict(frozen=True)

    arrivals: list[Arrival] = Field(default_factory=list)
    manners: dict[str, Manners] = Field(default_factory=dict)
    conducts: dict[Service, Conduct] = Field(default_factory=dict)


class PhoneAwayError(EnvoiError):
    """The process of the simulators gives no answer."""


class Phones:
    """The demo's phones, seen from the pages."""

    def __init__(self, settings: Settings) -> None:
        self._url = f"http://127.0.0.1:{settings.effective_simulators_port}"
        self._headers = {"Authorization": f"Bearer {control_token(settings)}"}

    def newest(self, limit: int = 20) -> list[Arrival]:
        """Return the newest messages of all phones, one an address."""
        found = self._ask("GET", "/newest", params={"limit": limit})
        return [Arrival.model_validate(each) for each in found]

    def messages(self, addresses: Sequence[str], limit: int = 30) -> list[Arrival]:
        """Return the newest messages to some addresses: those of one phone."""
        found = self._ask("GET", "/messages", params={"address": list(addresses), "limit": limit})
        return [Arrival.model_validate(each) for each in found]

    def act(self, arrival_id: str, act: Act) -> Arrival:
        """Do something with a message; raise `ConflictError` when that is not possible any more."""
        return Arrival.model_validate(self._ask("POST", f"/messages/{arrival_id}/{act.value}"))

    def reply(self, arrival_id: str, text: str) -> None:
        """Answer a message; raise `ConflictError` where its service passes no answers on."""
        self._ask("POST", f"/messages/{arrival_id}/reply", json={"text": text})

    def conducts(self) -> dict[str, Conduct]:
        """Say how the simulated services behave."""
        found = self._ask("GET", "/services")
        return {name: Conduct.model_validate(each) for name, each in found.items()}

    def set_conduct(self, service: Service, conduct: Conduct) -> None:
        """Change how a simulated service behaves."""
        self._ask("POST", f"/services/{service.value}", json=conduct.model_dump(mode="json"))

    def manners(self, address: str) -> Manners:
        """Say how a phone answers."""
        return Manners.model_validate(self._ask("GET", "/manners", params={"address": address}))

    def set_manners(self, address: str, manners: Manners) -> None:
        """Change how a phone answers."""
        body = manners.model_dump(mode="json")
        self._ask("POST", "/manners", params={"address": address}, json=body)

    def _ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> Any:
        url = f"{self._url}{path}?{urlencode(params or {}, doseq=True)}"
        try:
            with closing(HttpClient(timeout=ANSWER_SECONDS)) as client:
                answer = client.request(
                    method,
                    url,
                    headers={**self._headers, "Content-Type": "application/json"},
                    content=dumps(json).encode() if json else b"",
                )
        except (ProviderError, UnansweredError) as error:
            raise PhoneAwayError(
                "The simulators give no answer. They start with `make run`; look at its output."
            ) from error
        if answer.status == HTTPStatus.NOT_FOUND:
            raise NotFoundError("This message is not on the phone any more.")
        if answer.status == HTTPStatus.CONFLICT:
            raise ConflictError("This has been done already, or is not possible any more.")
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise PhoneAwayError("The simulators refuse to answer. Start everything again.")
        return loads(answer.body)
