"""What Devino's messages have of their own where they are SMS."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import Field

from envoi.types import Outgoing
from envoi_provider_devino.client import DevinoProvider, DevinoSettings

PATH = "/sms/messages"


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


def sms_provider(settings: SmsSettings) -> DevinoProvider:
    """Open an account for SMS."""

    def entry(message: Outgoing) -> Mapping[str, Any]:
        return {"text": message.payload.decode(), "priority": settings.priority}

    return DevinoProvider(settings, PATH, entry)
