"""What an administrator fills in for Azure Notification Hubs."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

_PARTS = re.compile(
    r"Endpoint=sb://(?P<host>[A-Za-z0-9.-]+)/?;"
    r"SharedAccessKeyName=(?P<name>[^;\s]+);SharedAccessKey=(?P<key>[^;\s]+);?"
)


class AzureSettings(BaseModel):
    """A hub and how to get in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hub: str = Field(
        pattern=r"^[A-Za-z0-9./_-]{1,260}$",
        title="Name of the hub",
        description="The hub's own, not that of its namespace.",
    )
    connection_string: SecretStr = Field(
        max_length=1_000,
        title="Connection string",
        description="In Azure open the hub, Access Policies: of one with the right Send.",
        json_schema_extra={"sent_to": "url"},
    )
    url: str = Field(
        "",
        max_length=200,
        pattern=r"^(https?://[^\s/@]+)?$",
        title="Address of the service",
        description="Leave it empty; only a test server has one.",
    )

    @field_validator("connection_string")
    @classmethod
    def _is_connection_string(cls, value: SecretStr) -> SecretStr:
        if not _PARTS.fullmatch(value.get_secret_value()):
            raise ValueError(
                "This is no connection string. It begins with Endpoint=sb:// and has a key."
            )
        return value

    @property
    def access(self) -> Mapping[str, str]:
        """The namespace's `host`, and the `name` and `key` of the access policy."""
        found = _PARTS.fullmatch(self.connection_string.get_secret_value())
        assert found is not None
        return found.groupdict()
