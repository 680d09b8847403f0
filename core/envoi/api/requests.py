"""What the API takes, as models, and its errors as JSON, one for each field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from envoi.customers.devices import LONGEST_TOKEN
from envoi.errors import Problem, ValidationFailedError, problems_of

_Model = TypeVar("_Model", bound=BaseModel)

Token = Annotated[str, Field(min_length=1, max_length=LONGEST_TOKEN, pattern=r"^[\x21-\x7e]+$")]
Service = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,39}$")]
Line = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DeviceNamed(_Strict):
    """A device by what its push service calls it."""

    service: Service
    token: Token


class DeviceRegistered(DeviceNamed):
    """A device as its app registers it."""

    app: Line = ""
    name: Line = ""


class Fact(_Strict):
    """What happened to a push message on a device."""

    type: Literal["delivered", "open", "click"]
    message_id: str = Field(min_length=1, max_length=200)
    occurred_at: AwareDatetime | None = None


class Facts(_Strict):
    """Facts of several messages."""

    events: Sequence[Fact] = Field(min_length=1, max_length=500)


class Refused(BaseModel):
    """One thing that is wrong with a request."""

    field: str = ""
    message: str


class Refusal(BaseModel):
    """The body of every answer that refuses."""

    errors: list[Refused]

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> Refusal:
        """Put problems into an answer."""
        return cls(errors=[Refused(field=p.field, message=p.message) for p in problems])


def read(model: type[_Model], body: bytes) -> _Model:
    """Read a body; raise `ValidationFailedError` with what is wrong at which field."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise ValidationFailedError(problems_of(error)) from None
