"""The form of a channel's content, made from its schema: for channels without an editor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from werkzeug.datastructures import MultiDict

from envoi_web.model_forms import Field, fields_of, read_settings, usual_value

OF_THE_CORE = frozenset({"utm", "attachments", "blocks", "style"})
"""Fields of content that have a part of the page of their own, or are filled in by the core."""

_LONG = 1_000
"""Characters from which on a text is written in an area."""
_LINES = 6


@dataclass(frozen=True, kw_only=True)
class ContentField:
    """A field of the form; a `template` may hold variables, a `picture` is of the library."""

    field: Field
    error: str = ""
    template: bool = False
    picture: bool = False

    @property
    def name(self) -> str:
        """The name of the field in the form."""
        return self.field.name


def content_fields(
    schema: type[BaseModel],
    content: Mapping[str, Any],
    errors: Mapping[str, str],
) -> list[ContentField]:
    """Describe what a marketer fills in, with what was typed and what is wrong with it."""
    names = list(schema.model_fields)
    made = zip(names, fields_of(schema, content, "", {}), strict=True)
    return [
        _content_field(schema.model_fields[name], field, content.get(name), errors.get(name, ""))
        for name, field in made
        if name not in OF_THE_CORE
    ]


def typed_content(
    schema: type[BaseModel], form: MultiDict[str, str], stored: Mapping[str, Any]
) -> dict[str, Any]:
    """Return stored content with the fields that the form has shown as they were typed.

    A check that is off is not in a form: the form lists by name what it has `shown`. What
    nobody has filled in is the same as what is not there.
    """
    typed: dict[str, Any] = {
        name: form[name].replace("\r\n", "\n") for name in schema.model_fields if name in form
    }
    shown = set(form.getlist("shown"))
    others = read_settings(schema, form, "")
    typed |= {
        name: read_lines(typed.get(name, "")) if isinstance(others[name], dict) else others[name]
        for name in shown & others.keys()
    }
    changed = {
        name: value
        for name, value in typed.items()
        if name not in OF_THE_CORE
        and value != stored.get(name, usual_value(schema.model_fields[name]))
    }
    return {**stored, **changed}


def read_lines(typed: str) -> dict[str, str]:
    """Read lines of a name, a colon and a value; the model checks them."""
    lines = (line.partition(":") for line in typed.splitlines() if line.strip())
    return {name.strip(): value.strip() for name, _colon, value in lines}


def picture_fields(schema: type[BaseModel]) -> list[str]:
    """Name the fields that hold the address of a picture."""
    return [name for name, info in schema.model_fields.items() if _extra(info).get("picture")]


def _extra(info: FieldInfo) -> dict[str, Any]:
    return info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}


def _content_field(info: FieldInfo, field: Field, value: Any, error: str) -> ContentField:
    extra = _extra(info)
    longest = (field.attributes or {}).get("maxlength", 0)
    is_text = field.kind == "text"
    if is_text and (field.lines or longest > _LONG):
        field = replace(field, kind="area", lines=field.lines or _LINES)
    if field.kind == "pairs" and isinstance(value, Mapping):
        shown = "\n".join(f"{name}: {text}" for name, text in value.items())
        field = replace(field, value=shown)
    return ContentField(
        field=field,
        error=error,
        template=bool(extra.get("template", field.kind == "area")),
        picture=bool(extra.get("picture")),
    )
