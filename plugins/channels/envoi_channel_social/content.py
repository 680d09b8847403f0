"""What a marketer fills in for a message in a social network."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from envoi.blocks import is_draft


def _name(value: str) -> str:
    if not value.isprintable():
        raise ValueError("Line breaks and control characters cannot be used here.")
    return value.strip()


def _filled(value: str, info: ValidationInfo) -> str:
    if not value.strip() and not is_draft(info):
        raise ValueError("The message is empty. Write it.")
    return value


class SocialContent(BaseModel):
    """The content of one variant; the text is a template of ours.

    Networks take a text that they have approved before: `template` is what the provider calls it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    template: Annotated[str, AfterValidator(_name)] = Field(
        "",
        max_length=100,
        title="Approved template",
        description="Its name or number at the provider. Empty: the provider finds it by the text.",
    )
    text: Annotated[str, AfterValidator(_filled)] = Field(
        "",
        max_length=5_000,
        title="Text",
        description="As it was approved, with variables where the template has them. Links stay as"
        " they are, and their clicks are not counted.",
        json_schema_extra={"template": True, "lines": 6},
    )
