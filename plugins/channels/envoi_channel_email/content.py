"""What a marketer fills in for an email."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from envoi.blocks import MAX_BLOCKS, Block, OneLine, Style, is_draft

MAX_SOURCE = 512 * 1024
MAX_ATTACHMENTS = 10


class BodyFormat(StrEnum):
    """How the body is written."""

    BLOCKS = "blocks"
    MJML = "mjml"
    HTML = "html"


def _address(value: str) -> str:
    if not value:
        return value
    try:
        found = validate_email(value, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(f"This is no email address: {error}") from None
    if not found.local_part.isascii():
        raise ValueError("Most mail servers take only plain letters, a to z, before the @.")
    return f"{found.local_part}@{found.ascii_domain}"


def _sane_size(value: str) -> str:
    if len(value) > MAX_SOURCE:
        raise ValueError(
            "This is larger than 0.5 MB, far above what mail programs show. Remove pictures"
            " inside the text and what was pasted with it."
        )
    return value


def _filled(value: str, info: ValidationInfo) -> str:
    if not value and not is_draft(info):
        raise ValueError("This is empty. Fill it in.")
    return value


def _default_format(data: dict[str, Any]) -> BodyFormat:
    """Content made before there were blocks has MJML in its body."""
    return BodyFormat.MJML if data.get("body") else BodyFormat.BLOCKS


Address = Annotated[OneLine, AfterValidator(_address)]
Source = Annotated[str, AfterValidator(_sane_size)]
Filled = AfterValidator(_filled)


class EmailContent(BaseModel):
    """The content of one variant; subject, preheader, body, blocks and text are templates.

    With the validation context `{"draft": True}` what is not filled in yet may be empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    subject: Annotated[OneLine, Field(max_length=500), Filled] = ""
    preheader: OneLine = Field("", max_length=500)
    body: Source = ""
    """MJML or HTML; blocks do not use it."""
    body_format: BodyFormat = Field(default_factory=_default_format)
    blocks: list[Block] = Field(default_factory=list, max_length=MAX_BLOCKS)
    style: Style = Style()
    text: Source = ""
    """The plain text part; empty is made from the body."""
    sender_name: OneLine = Field("", max_length=200)
    sender_address: Annotated[Address, Field(max_length=254), Filled] = ""
    reply_to: Address = Field("", max_length=254)
    attachments: list[int] = Field(default_factory=list, max_length=MAX_ATTACHMENTS)
    """Files of the library, by number."""
    utm: Mapping[str, OneLine] = Field(default_factory=dict, max_length=20)
    """Query parameters for every web link; the core fills in what company and mailing set."""

    @field_validator("body_format")
    @classmethod
    def _has_body(cls, value: BodyFormat, info: ValidationInfo) -> BodyFormat:
        if value is not BodyFormat.BLOCKS and not info.data.get("body") and not is_draft(info):
            raise ValueError("The message is empty. Write it.")
        return value

    @field_validator("blocks")
    @classmethod
    def _has_blocks(cls, value: list[Block], info: ValidationInfo) -> list[Block]:
        if not value and info.data.get("body_format") is BodyFormat.BLOCKS and not is_draft(info):
            raise ValueError("The message is empty. Add a block.")
        numbers = [block.id for block in value if block.id]
        if len(numbers) != len(set(numbers)):
            raise ValueError("Two blocks have the same number. Duplicate blocks by their button.")
        return value
