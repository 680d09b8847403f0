"""What an administrator fills in for an SMPP account."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from envoi.outgoing import VerifyCertificate


class Security(StrEnum):
    """How the connection is protected."""

    NONE = "none"
    TLS = "tls"

    @property
    def label(self) -> str:
        """What a person chooses."""
        return "Not protected" if self is Security.NONE else "TLS"


class Binding(StrEnum):
    """How sessions are opened."""

    SEPARATE = "separate"
    TRANSCEIVER = "transceiver"

    @property
    def label(self) -> str:
        """What a person chooses."""
        return "Transmitter and receiver" if self is Binding.SEPARATE else "Transceiver"


class LongTexts(StrEnum):
    """How a text of several parts is sent."""

    UDH = "udh"
    SAR = "sar"
    PAYLOAD = "payload"

    @property
    def label(self) -> str:
        """What a person chooses."""
        return {
            LongTexts.UDH: "In parts with a header (UDH)",
            LongTexts.SAR: "In parts with numbers beside (SAR)",
            LongTexts.PAYLOAD: "Whole (message_payload)",
        }[self]


class Alphabet(StrEnum):
    """What the operator takes for its default alphabet."""

    GSM = "gsm"
    LATIN = "latin"

    @property
    def label(self) -> str:
        """What a person chooses."""
        return "GSM 03.38" if self is Alphabet.GSM else "Latin 1"


class SmppSettings(BaseModel):
    """An account at a message centre; times are in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(
        min_length=1,
        max_length=253,
        pattern=r"^[^\s/@]+$",
        title="Server",
        description="Its name, such as smpp.example.com.",
    )
    port: int = Field(2775, ge=1, le=65535, title="Port", description="Often 3550 with TLS.")
    security: Security = Field(Security.NONE, title="Security")
    verify_certificate: VerifyCertificate = True
    system_id: str = Field(
        min_length=1, max_length=64, pattern=r"^[!-~]+$", title="User name (system_id)"
    )
    password: SecretStr = Field(
        SecretStr(""), max_length=64, title="Password", json_schema_extra={"sent_to": "host"}
    )
    system_type: str = Field(
        "",
        max_length=12,
        pattern=r"^[ -~]*$",
        title="System type",
        description="Where the operator asks for one.",
    )
    sender: str = Field(
        "",
        max_length=20,
        pattern=r"^[ -~]*$",
        title="Sender name",
        description="Where a mailing names none. Empty: what the operator sets.",
    )
    binding: Binding = Field(Binding.SEPARATE, title="Sessions")
    window: int = Field(
        10,
        ge=1,
        le=1_000,
        title="Window",
        description="Messages that may wait for an answer at once, in each session. At most two to"
        " three times what is permitted per second.",
    )
    long_texts: LongTexts = Field(LongTexts.UDH, title="Long texts")
    alphabet: Alphabet = Field(
        Alphabet.GSM,
        title="Default alphabet",
        description="In Latin 1 there is no €: it becomes a question mark.",
    )
    source_ton: int | None = Field(
        None,
        ge=0,
        le=7,
        title="TON of the sender",
        description="Empty: 5 for a name, 3 for a short number, 1 for others.",
    )
    source_npi: int | None = Field(
        None,
        ge=0,
        le=18,
        title="NPI of the sender",
        description="Empty: 0 for a name or a short number, 1 for others.",
    )
    destination_ton: int = Field(1, ge=0, le=7, title="TON of the recipient")
    destination_npi: int = Field(1, ge=0, le=18, title="NPI of the recipient")
    service_type: str = Field("", max_length=5, pattern=r"^[!-~]*$", title="Service type")
    receipts: bool = Field(True, title="Ask for delivery receipts")
    clock: float | None = Field(
        None,
        ge=-12,
        le=14,
        title="Clock of the receipts",
        description="Hours ahead of UTC. Empty: a message is delivered when its receipt arrives.",
    )
    number_messages: bool = Field(
        False,
        title="Number messages (user_message_reference)",
        description="Where the operator asks for it.",
    )
    connect_timeout: float = Field(
        10, gt=0, le=120, title="Time to connect", description="In seconds."
    )
    answer_timeout: float = Field(
        30,
        gt=0,
        le=600,
        title="Time to answer",
        description="In seconds. A shorter wait leaves more messages of unknown fate.",
    )
    keepalive: float = Field(
        30,
        gt=0,
        le=600,
        title="Time between signs of life (enquire_link)",
        description="In seconds. Who does not answer within as long again is connected to anew.",
    )
