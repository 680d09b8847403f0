"""What Devino's messages have of their own where they are SMS."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import Field

from envoi.types import Outgoing
from envoi_provider_devino.client import DevinoAccount, DevinoSettings


class Priority(StrEnum):
    """What kind of traffic the messages are, as Devino asks."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    REALTIME = "REALTIME"

    @property
    def label(self) -> str:
        """What a person chooses."""
        return {
            Priority.LOW: "Low, for advertising",
            Priority.MEDIUM: "Medium, for advertising",
            Priority.HIGH: "High, for service messages",
            Priority.REALTIME: "At once, for transactions",
        }[self]


class SmsSettings(DevinoSettings):
    """An account for SMS."""

    priority: Priority = Field(Priority.MEDIUM, title="Priority")


class SmsAccount(DevinoAccount):
    """An account for SMS."""

    path = "/sms/messages"

    def __init__(self, settings: SmsSettings) -> None:
        super().__init__(settings)
        self._priority = settings.priority

    def entry(self, message: Outgoing) -> Mapping[str, Any]:
        """Write the text, and how urgent it is."""
        return {"text": message.payload.decode(), "priority": self._priority}
