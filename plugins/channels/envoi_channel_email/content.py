"""What a marketer fills in for an email."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class BodyFormat(StrEnum):
    """How the body is written."""

    MJML = "mjml"
    HTML = "html"


def _one_line(value: str) -> str:
    if any(not character.isprintable() for character in value):
        raise ValueError("Line breaks and control characters cannot be used here.")
    return value.strip()


def _address(value: str) -> str:
    if not value:
        return value
    try:
        found = validate_email(value, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(f"This is no email address: {error}") from None
    return f"{found.local_part}@{found.ascii_domain}"


OneLine = Annotated[str, AfterValidator(_one_line)]
Address = Annotated[str, AfterValidator(_one_line), AfterValidator(_address)]


class EmailContent(BaseModel):
    """The content of one variant; subject, preheader, body and text are templates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: OneLine = Field(min_length=1, max_length=500)
    preheader: OneLine = Field("", max_length=500)
    body_format: BodyFormat = BodyFormat.MJML
    body: str = Field(min_length=1, max_length=512 * 1024)
    text: str = Field("", max_length=512 * 1024)
    """The plain text part; empty is made from the body."""
    sender_name: OneLine = Field("", max_length=200)
    sender_address: Address = Field(min_length=3, max_length=254)
    reply_to: Address = Field("", max_length=254)
