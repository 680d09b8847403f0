"""What an administrator fills in for Firebase Cloud Messaging."""

from __future__ import annotations

from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator


class KeyFile(BaseModel):
    """What Envoi needs of the key file of a service account."""

    model_config = ConfigDict(frozen=True)

    project_id: str = Field(pattern=r"^[a-z0-9.:-]{1,100}$")
    client_email: str = Field(min_length=1)
    private_key: str
    private_key_id: str = ""
    token_uri: str = Field(pattern=r"^https?://[^\s/]+/")

    def key(self) -> Any:
        """The key that signs."""
        return load_pem_private_key(self.private_key.encode(), None)


class FcmSettings(BaseModel):
    """A Firebase project and how to get in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    service_account: SecretStr = Field(
        max_length=10_000,
        title="Key file",
        description="The whole JSON file of a service account: in Firebase open Project settings,"
        " Service accounts, Generate new private key.",
        json_schema_extra={"sent_to": "url", "lines": 6},
    )
    url: str = Field(
        "https://fcm.googleapis.com",
        max_length=200,
        pattern=r"^https?://[^\s/@]+$",
        title="Address of the service",
        description="Leave it as it is; only a test server has another one.",
    )

    @field_validator("service_account")
    @classmethod
    def _is_key_file(cls, value: SecretStr) -> SecretStr:
        try:
            key_of(value).key()
        except (ValidationError, ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError(
                "This is no key file of a service account. Paste the whole JSON file."
            ) from None
        return value

    @property
    def key_file(self) -> KeyFile:
        """The key file, read."""
        return key_of(self.service_account)


def key_of(value: SecretStr) -> KeyFile:
    """Read a key file."""
    return KeyFile.model_validate_json(value.get_secret_value())
