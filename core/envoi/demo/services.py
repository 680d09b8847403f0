"""The simulated services: where they are, and what goes wrong with them on demand."""

from __future__ import annotations

import hmac
from enum import StrEnum
from hashlib import sha256

from pydantic import BaseModel, ConfigDict, Field

from envoi.settings import Settings

ACCOUNT = "fieldmarket"
HMS_CLIENT = "104710517"
RUSTORE_PROJECT, RUSTORE_TOKEN = "fieldmarket-rustore", "rustore-token"
AZURE_NAMESPACE, AZURE_HUB, AZURE_POLICY = "fieldmarket.servicebus.windows.net", "shop", "Sender"


class Service(StrEnum):
    """What simulated services are called."""

    SMPP = "smpp"
    DEVINO = "devino"
    SMSTRAFFIC = "smstraffic"
    SMART = "smart_delivery"
    STREAMTELECOM = "streamtelecom"
    HTTP = "http"
    PUSH = "push"
    HMS = "hms"
    AZURE = "azure"


TOLD_AT_THE_PROVIDERS = (Service.SMSTRAFFIC, Service.SMART, Service.HTTP)
"""Where an account's reports go is entered at these services, not in our gateway."""


class Fault(StrEnum):
    """What a service does that it should not."""

    NONE = "none"
    THROTTLED = "throttled"
    REFUSED = "refused"
    HANGING = "hanging"
    CUT = "cut"
    BROKEN = "broken"
    NOT_JSON = "not_json"


class Conduct(BaseModel):
    """How a service behaves.

    `share` is how many of a hundred messages meet the fault; a service that throttles takes
    `per_second` instead. `webhook` is where reports go, for `TOLD_AT_THE_PROVIDERS`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: Fault = Fault.NONE
    share: int = Field(100, ge=1, le=100)
    per_second: int = Field(5, ge=1, le=10_000)
    webhook: str = Field("", max_length=1_000, pattern=r"^(https?://\S+)?$")


def control_token(settings: Settings) -> str:
    """What whoever looks at the phones has to show; the same in every process."""
    key = settings.secret_key.get_secret_value().encode()
    return hmac.new(key, b"envoi simulators", sha256).hexdigest()


def simulators_password(settings: Settings) -> str:
    """The password of the demo's accounts at the simulated providers; SMPP takes eight letters."""
    return control_token(settings)[:8]


def smpp_port(settings: Settings) -> int:
    """Where the message centre listens."""
    return settings.effective_simulators_port + 1


def web_url(settings: Settings) -> str:
    """Where all services with an HTTP interface are, told apart by their paths."""
    return f"http://127.0.0.1:{settings.effective_simulators_port + 2}"


def push_url(settings: Settings) -> str:
    """Where push services are that speak HTTP/2."""
    return f"http://127.0.0.1:{settings.effective_simulators_port + 3}"
