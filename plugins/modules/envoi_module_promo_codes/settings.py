"""What a company sets of promo codes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from envoi.types import SettingsSpec


class PromoCodeSettings(BaseModel):
    """When a group that still has codes is worth a warning."""

    model_config = ConfigDict(frozen=True)

    few: int = Field(
        100,
        ge=0,
        le=1_000_000,
        title="Warn below so many codes",
        description="In the list of groups, and before a mailing that issues them. 0: never.",
    )


SETTINGS = SettingsSpec(name="promo_codes", label="Promo codes", settings=PromoCodeSettings)
