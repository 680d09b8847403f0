"""What an administrator fills in for Huawei Push Kit."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class HmsSettings(BaseModel):
    """An app at Huawei and how to get in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    client_id: str = Field(
        pattern=r"^[0-9]{1,30}$",
        title="Client ID",
        description="Of OAuth 2.0: in AppGallery Connect open Project settings.",
    )
    client_secret: SecretStr = Field(
        max_length=500,
        title="Client secret",
        description="It stands below the client ID.",
        json_schema_extra={"sent_to": "url"},
    )
    title: str = Field(
        min_length=1,
        max_length=40,
        title="Usual title",
        description="Huawei shows no message without one; of messages that have none.",
    )
    url: str = Field(
        "",
        max_length=200,
        pattern=r"^(https?://[^\s/@]+)?$",
        title="Address of the service",
        description="Leave it empty; only a test server has one.",
    )

    @property
    def push_url(self) -> str:
        """Where messages go."""
        return self.url or "https://push-api.cloud.huawei.com"

    @property
    def access_url(self) -> str:
        """Who gives tokens of access."""
        return self.url or "https://oauth-login.cloud.huawei.com"
