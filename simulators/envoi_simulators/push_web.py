"""Push services over HTTP/1.1: answers on demand for messages, by the device's token."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from envoi.demo.services import Conduct
from envoi_simulators.http2 import Reply as Scripted
from envoi_simulators.phone import Phone
from envoi_simulators.push_services import Faults, shown_on_phone
from envoi_simulators.web_service import Asked, Reply, Taken, WebService


class PushWebService(WebService):
    """A service; `scripted` faults hold for messages only, and `tell` is for what apps tell."""

    def __init__(
        self,
        *,
        key: str = "secret",
        phone: Phone | None = None,
        tell: Callable[[str, str], None] | None = None,
    ) -> None:
        super().__init__(key=key, phone=phone)
        self.scripted = Faults()
        self._tell = tell

    @abstractmethod
    def token_of(self, asked: Asked) -> str | None:
        """The token of the device that a request is for; None where it is no message."""

    def behave(self, conduct: Conduct) -> None:
        """Begin to make the mistakes that somebody has chosen."""
        self.scripted = Faults.of(conduct)

    def show(self, taken: Taken, fields: Mapping[str, Any]) -> None:
        """Let a message arrive, of which the app tells us by the key in its data."""
        key, tell = fields["data"]["envoi_message"], self._tell
        self.arrive(
            taken,
            lambda what: tell(key, what) if tell else None,
            fields=shown_on_phone(fields),
        )

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
