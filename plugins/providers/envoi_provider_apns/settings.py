"""What an administrator fills in for the Apple Push Notification service."""

from __future__ import annotations

import re
from enum import StrEnum
from textwrap import wrap

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

_FRAME = re.compile(r"-----(BEGIN|END) [A-Z ]+-----|\s")


class Environment(StrEnum):
    """Which of Apple's services knows the tokens of the app."""

    PRODUCTION = "production"
    SANDBOX = "sandbox"

    @property
    def label(self) -> str:
        """What a person chooses."""
        return "App Store and TestFlight" if self is Environment.PRODUCTION else "Development"

    @property
    def url(self) -> str:
        """Where it is."""
        name = "api" if self is Environment.PRODUCTION else "api.sandbox"
        return f"https://{name}.push.apple.com"


class ApnsSettings(BaseModel):
    """An app at Apple, and the key that signs for its team."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str = Field(
        pattern=r"^[A-Za-z0-9.-]{1,155}$",
        title="Bundle ID",
        description="Of the app, such as com.example.shop.",
    )
    team_id: str = Field(pattern=r"^[A-Z0-9]{10}$", title="Team ID")
    key_id: str = Field(pattern=r"^[A-Z0-9]{10}$", title="Key ID")
    key: SecretStr = Field(
        max_length=2_000,
        title="Key",
        description="The content of the .p8 file: in Apple's developer account open Keys.",
        json_schema_extra={"sent_to": "url", "lines": 6},
    )
    environment: Environment = Field(
        Environment.PRODUCTION,
        title="Environment",
        description="Tokens of one are unknown in the other.",
    )
    url: str = Field(
        "",
        max_length=200,
        pattern=r"^(https?://[^\s/@]+)?$",
        title="Address of the service",
        description="Leave it empty; only a test server has one.",
    )

    @field_validator("key")
    @classmethod
    def _is_key(cls, value: SecretStr) -> SecretStr:
        try:
            key_of(value)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            reason = "This is no key of Apple's. Paste the whole .p8 file."
            raise ValueError(reason) from None
        return value


def key_of(value: SecretStr) -> EllipticCurvePrivateKey:
    """Read a key, also one whose line breaks were lost on the way; `ValueError` for any other."""
    body = "\n".join(wrap(_FRAME.sub("", value.get_secret_value()), 64))
    pem = f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"
    key = load_pem_private_key(pem.encode(), None)
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise ValueError("it is of another kind")
    return key
