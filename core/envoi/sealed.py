"""Filled-in settings models of plugins, kept apart: what is secret is sealed for its place.

Gateways and the companies' own settings of plugins are kept so. A secret that is left out or
empty stays as it was; where it would be sent is asked for together with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from envoi.errors import ConfigurationError, Problem, ValidationFailedError, problems_of
from envoi.logs import hide
from envoi.secrets import SecretBox


@dataclass(frozen=True)
class Kept:
    """Settings as they are stored; `secrets` opens at `place` only, and b"" holds none."""

    settings: Mapping[str, Any]
    secrets: bytes
    place: str

    def opened(self, box: SecretBox) -> dict[str, Any]:
        """Return the secrets; raise `ConfigurationError` when the key or the place is another."""
        if not self.secrets:
            return {}
        found: dict[str, Any] = json.loads(box.open(self.secrets, self.place))
        hide(*(value for value in found.values() if isinstance(value, str)))
        return found

    def readable(self, box: SecretBox) -> dict[str, Any]:
        """Return the secrets, or none when the key is lost: then they are to be entered again."""
        try:
            return self.opened(box)
        except ConfigurationError:
            return {}

    def secrets_set(self, box: SecretBox) -> frozenset[str]:
        """Return the names of the secrets that have a value and can be decrypted."""
        return frozenset(name for name, value in self.readable(box).items() if value)

    def read(self, box: SecretBox, model: type[BaseModel]) -> BaseModel:
        """Return the whole settings; raise `ValidationFailedError` where they do not suit."""
        return checked(model, {**self.settings, **self.opened(box)})


def checked(model: type[BaseModel], values: Mapping[str, Any]) -> BaseModel:
    """Fill in a model; raise `ValidationFailedError` with what is wrong at which field."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ValidationFailedError(problems_of(error)) from None


def completed(
    model: type[BaseModel], box: SecretBox, kept: Kept | None, values: Mapping[str, Any]
) -> BaseModel:
    """Check what is given, with the stored secrets where those are left out."""
    secret = secret_fields(model)
    given = {k: v for k, v in values.items() if v != "" or k not in secret}
    stored = kept.readable(box) if kept else {}
    known = {name: value for name, value in stored.items() if name in secret}
    if kept:
        _ask_again(model, kept.settings, known, given)
    return checked(model, {**known, **given})


def seal(box: SecretBox, values: BaseModel, place: str) -> Kept:
    """Take settings apart for being stored."""
    secret = {n: v.get_secret_value() for n, v in values if isinstance(v, SecretStr)}
    plain = values.model_dump(mode="json", exclude=set(secret))
    return Kept(plain, box.seal(json.dumps(secret).encode(), place) if secret else b"", place)


def secret_fields(model: type[BaseModel]) -> frozenset[str]:
    """Return the names of the settings that are never shown again."""
    fields = model.model_fields.items()
    return frozenset(name for name, field in fields if field.annotation is SecretStr)


def _ask_again(
    model: type[BaseModel],
    before: Mapping[str, Any],
    known: Mapping[str, Any],
    given: Mapping[str, Any],
) -> None:
    """Refuse to send a stored secret elsewhere: who may not read it could have it sent to them."""
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra
        place = str(extra.get("sent_to", "")) if isinstance(extra, dict) else ""
        moved = place in given and given[place] != before.get(place)
        if moved and known.get(name) and name not in given:
            problem = "It would be sent elsewhere than before. Enter it again."
            raise ValidationFailedError([Problem(name, problem)])
