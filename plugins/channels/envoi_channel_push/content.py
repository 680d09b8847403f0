"""What a marketer fills in for a push message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from envoi.blocks import OneLine, https_only, is_draft

MOST_BYTES = 4_096
"""What push services take for a message: all of its fields and data together."""

RESERVED = re.compile(r"^(aps|from|message_type|envoi_.*|(google|gcm)\..*)$")
"""Names of data that push services or Envoi itself use."""

_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")
_SCHEME = re.compile(r"^\s*([A-Za-z][A-Za-z0-9+.-]*):")
_CODE = re.compile(r"^\s*\{[{%]")
_RUNS_CODE = {"javascript", "data", "vbscript", "file", "about", "blob"}


def refused_link(value: str) -> str:
    """Say why a link cannot be sent, or nothing."""
    found = _SCHEME.match(value)
    if found is None:
        return "This is no link. Begin it with https://, or with your app's own scheme."
    if found[1].lower() in _RUNS_CODE:
        return "Such a link runs code instead of opening a page. Use https:// or your app's scheme."
    return ""


def _link(value: str) -> str:
    if value and not _CODE.match(value) and (reason := refused_link(value)):
        raise ValueError(reason)
    return value


class PushContent(BaseModel):
    """The content of one variant; every field and every value of the data is a template."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    title: OneLine = Field(
        "",
        max_length=500,
        title="Title",
        description="Phones show about 50 characters.",
        json_schema_extra={"template": True},
    )
    text: str = Field(
        "",
        max_length=3_000,
        title="Text",
        description="Phones show about 150 characters until the message is opened.",
        json_schema_extra={"template": True, "lines": 5},
    )
    image: Annotated[
        OneLine,
        https_only("Phones load pictures over https:// only. Enter such an address."),
    ] = Field(
        "",
        max_length=1_000,
        title="Picture",
        description="The https address of a picture, best 2:1 and below 1 MB. Empty: none.",
        json_schema_extra={"picture": True},
    )
    link: Annotated[OneLine, AfterValidator(_link)] = Field(
        "",
        max_length=1_000,
        title="Link",
        description="What opens on a tap: a page, whose clicks are counted, or a place in the"
        " app such as shop://offers/7. Empty: the app.",
        json_schema_extra={"template": True},
    )
    data: Mapping[str, str] = Field(
        default_factory=dict,
        max_length=20,
        title="Data for the app",
        description="A line each, such as offer: 7. The app gets them with the message.",
    )

    @field_validator("text")
    @classmethod
    def _says_something(cls, value: str, info: ValidationInfo) -> str:
        if not value.strip() and not is_draft(info):
            raise ValueError("The message is empty. Write it.")
        return value

    @field_validator("data")
    @classmethod
    def _named_well(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        if not all(map(_NAME.match, value)):
            raise ValueError(
                "A name of the data cannot be used. Names are letters, digits and _.-, beginning"
                " with a letter."
            )
        if any(map(RESERVED.match, value)):
            raise ValueError(
                "A name of the data is used by push services, such as aps or from. Choose another"
                " one."
            )
        return value
