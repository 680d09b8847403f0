"""What an administrator fills in for RuStore."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class RuStoreSettings(BaseModel):
    """A push project at RuStore and how to get in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    project_id: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,100}$",
        title="Project ID",
        description="In RuStore Console open the app, Push notifications, Projects.",
    )
    service_token: SecretStr = Field(
        max_length=1_000,
        title="Service token",
        description="It stands beside the project ID.",
        json_schema_extra={"sent_to": "url"},
    )
    url: str = Field(
        "https://vkpns.rustore.ru",
        max_length=200,
        pattern=r"^https?://[^\s/@]+$",
        title="Address of the service",
        description="Leave it as it is; only a test server has another one.",
    )
