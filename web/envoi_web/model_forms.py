"""A form made from the settings model of a plugin: one field of the page for each of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from werkzeug.datastructures import MultiDict

from envoi.sealed import Kept, secret_fields
from envoi.secrets import SecretBox
from envoi.webkit import current
from envoi.webkit.formats import translated

Options = Sequence[tuple[str, str]]
Choices = Mapping[str, Options]
"""For names such as `channels`, which many rule kinds share, what a person can choose from."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field: `kind` is number, text, secret, area, pairs, date, time, select, checks or switch.

    A secret has no value but whether there is one; pairs are lines of a name and a value.
    """

    name: str
    kind: str
    label: str
    hint: str
    value: Any
    options: Options = ()
    attributes: Mapping[str, Any] | None = None
    required: bool = False
    lines: int = 0


def fields_of(
    model: type[BaseModel], values: Mapping[str, Any], prefix: str, choices: Choices
) -> list[Field]:
    """Describe the fields of a model, filled in with stored or typed values.

    Of a secret `values` says only whether it is set.
    """
    return [
        _field(_path(prefix, name), name, info, values.get(name, usual_value(info)), choices)
        for name, info in model.model_fields.items()
    ]


def kept_fields(
    model: type[BaseModel], values: Mapping[str, Any], kept: Kept | None, prefix: str
) -> list[Field]:
    """Describe the fields of a model some of whose secrets may be stored."""
    known = kept.secrets_set(SecretBox(current.settings)) if kept else frozenset()
    secret = {name: name in known for name in secret_fields(model)}
    return fields_of(model, {**values, **secret}, prefix, {})


def read_settings(model: type[BaseModel], form: MultiDict[str, str], prefix: str) -> dict[str, Any]:
    """Read what was typed; the model itself checks it."""
    return {
        name: _typed(info, form.getlist(_path(prefix, name)))
        for name, info in model.model_fields.items()
    }


def _path(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def usual_value(info: FieldInfo) -> Any:
    """What stands in a field before anything is typed: nothing where something must be.

    Nothing either where that follows from other fields.
    """
    if info.is_required() or info.default_factory_takes_validated_data:
        return ""
    return info.get_default(call_default_factory=True)


def _field(path: str, name: str, info: FieldInfo, value: Any, choices: Choices) -> Field:
    kind = _plain(info.annotation)
    shared: dict[str, Any] = {
        "name": path,
        "label": translated(info.title or name.replace("_", " ").capitalize()),
        "hint": translated(info.description or ""),
        "required": not is_optional(info),
        "lines": _area_lines(info),
    }
    if kind is SecretStr:
        return Field(**shared | {"required": False}, kind="secret", value=bool(value))
    if isinstance(kind, type) and issubclass(kind, Enum):
        options = [(str(m.value), translated(_label(m))) for m in kind]
        return Field(**shared, kind="select", value=getattr(value, "value", value), options=options)
    if _is_list(kind):
        chosen = [str(item) for item in value or ()]
        offered = choices.get(name) or [(item, item) for item in chosen]
        return Field(**shared, kind="checks", value=chosen, options=offered)
    if kind is bool:
        return Field(**shared, kind="switch", value=bool(value))
    if kind in (int, float):
        return Field(
            **shared, kind="number", value=shown_number(value), attributes=_bounds(info, kind)
        )
    if _is_pairs(kind):
        return Field(**shared, kind="pairs", value=shown_pairs(value))
    if kind is date:
        return Field(**shared, kind="date", value=str(value or ""))
    if kind is time:
        # Stored with seconds, typed without.
        return Field(**shared, kind="time", value=str(value or "")[:5])
    attributes = {"maxlength": most} if (most := _longest(info)) else {}
    return Field(**shared, kind="text", value=value, attributes=attributes)


def _label(member: Enum) -> str:
    """What a choice is called: its own label, or its value."""
    return str(getattr(member, "label", str(member.value).capitalize()))


def _typed(info: FieldInfo, given: list[str]) -> Any:
    kind = _plain(info.annotation)
    if _is_list(kind):
        return given
    if kind is bool:
        return bool(given)
    typed = given[0].strip() if given else ""
    if _is_pairs(kind):
        return read_pairs(typed)
    return None if not typed and kind is not str and _allows_none(info) else typed


def read_pairs(typed: str) -> dict[str, str]:
    """Read lines of a name and a value, such as `gmail.com 20`; the model checks them."""
    return dict(_pair(line) for line in typed.splitlines() if line.strip())


def shown_pairs(pairs: Any) -> str:
    """Write pairs as lines."""
    items = pairs.items() if isinstance(pairs, Mapping) else ()
    return "\n".join(f"{name} {shown_number(value)}" for name, value in items)


def shown_number(value: Any) -> Any:
    """Write a number as a person would: 30, not 30.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.strip().rpartition(" ")
    return (name.strip(" :="), value) if name else (value, "")


def _area_lines(info: FieldInfo) -> int:
    """How many lines a secret such as a key has; a hint that the model gives."""
    extra = info.json_schema_extra
    lines = extra.get("lines") if isinstance(extra, dict) else None
    return lines if isinstance(lines, int) else 0


def is_optional(info: FieldInfo) -> bool:
    """Whether a field may be left empty."""
    return _allows_none(info) or (_plain(info.annotation) is str and not info.is_required())


def _allows_none(info: FieldInfo) -> bool:
    return type(None) in get_args(info.annotation)


def _is_pairs(kind: Any) -> bool:
    return get_origin(kind) in (dict, Mapping) or kind is dict


def _longest(info: FieldInfo) -> int | None:
    return next((m.max_length for m in info.metadata if isinstance(m, MaxLen)), None)


def _plain(annotation: Any) -> Any:
    """Take `| None` off."""
    if get_origin(annotation) in (Union, UnionType):
        kept = [kind for kind in get_args(annotation) if kind is not type(None)]
        return kept[0] if len(kept) == 1 else str
    return annotation


def _is_list(kind: Any) -> bool:
    return get_origin(kind) in (tuple, list, set, frozenset)


def _bounds(info: FieldInfo, kind: type) -> dict[str, Any]:
    """HTML bounds, so that the browser tells before the server does."""
    found: dict[str, Any] = {"inputmode": "numeric", "step": 1 if kind is int else "any"}
    for limit in _limits(info.metadata):
        match limit:
            case Ge(ge=lowest):
                found["min"] = lowest
            case Le(le=highest):
                found["max"] = highest
            case Gt(gt=below) if kind is int and isinstance(below, int):
                found["min"] = below + 1
            case Lt(lt=above) if kind is int and isinstance(above, int):
                found["max"] = above - 1
    return found


def _limits(metadata: Iterable[Any]) -> list[Any]:
    return [limit for limit in metadata if isinstance(limit, Ge | Le | Gt | Lt)]
