"""Push services over HTTP/1.1: answers on demand for messages, by the device's token."""

from __future__ import annotations

from abc import abstractmethod

from envoi_simulators.http2 import Reply as Scripted
from envoi_simulators.phone import Phone
from envoi_simulators.push_services import Faults
from envoi_simulators.web_service import Asked, Reply, WebService


class PushWebService(WebService):
    """A service; `scripted` faults hold for messages only."""

    def __init__(self, *, port: int = 0, key: str = "secret", phone: Phone | None = None) -> None:
        super().__init__(port=port, key=key, phone=phone)
        self.scripted = Faults()

    @abstractmethod
    def token_of(self, asked: Asked) -> str | None:
        """The token of the device that a request is for; None where it is no message."""

    def answer(self, asked: Asked) -> Reply | None:
        """Answer a request; None is a broken connection."""
        token = self.token_of(asked)
        found = self.scripted.reply(token) if token is not None else None
        if found is None:
            return super().answer(asked)
        return None if found.cut else as_reply(found)


def as_reply(found: Scripted) -> Reply:
    """The same answer over HTTP/1.1."""
    return Reply(status=found.status, body=found.body, headers=dict(found.headers))
