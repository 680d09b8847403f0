"""What a marketer fills in for an SMS."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from envoi.blocks import is_draft

MOST_PARTS = 10
"""Parts of one message; more is nearly always a mistake, and paid for each."""

_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 ._&-]{1,11}")
_NUMBER = re.compile(r"\+?[0-9]{3,15}")


def _sender(value: str) -> str:
    stripped = value.strip()
    if stripped and not (_NAME.fullmatch(stripped) or _NUMBER.fullmatch(stripped)):
        raise ValueError(
            "Phones show a name of at most 11 Latin letters and digits, or a phone number."
            " Enter one as it is registered with the provider."
        )
    return stripped


def _filled(value: str, info: ValidationInfo) -> str:
    if not value.strip() and not is_draft(info):
        raise ValueError("The message is empty. Write it.")
    return value


class SmsContent(BaseModel):
    """The content of one variant; the text is a template.

    With the validation context `{"draft": True}` the text may still be empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    sender_name: Annotated[str, AfterValidator(_sender)] = Field(
        "",
        max_length=20,
        title="Sender name",
        description="At most 11 Latin letters and digits, as registered with the provider, or a"
        " number. Empty: the gateway's own.",
    )
    text: Annotated[str, AfterValidator(_filled)] = Field(
        "",
        max_length=5_000,
        title="Text",
        description="{{ unsubscribe_url }} becomes an address to opt out.",
        json_schema_extra={"template": True, "lines": 6},
    )
    transliterate: bool = Field(
        False,
        title="Spell in Latin letters",
        description="More than twice as much fits into a part. Texts that cannot be spelled so,"
        " such as those with an emoji, stay as they are.",
    )
    track_links: bool = Field(
        False,
        title="Track clicks on links",
        description="Tracked addresses are short; the counter includes them.",
    )
    utm: Mapping[str, str] = Field(default_factory=dict, max_length=20, title="UTM")
    """Query parameters for tracked links; the core fills in what company and mailing set."""
