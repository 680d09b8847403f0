"""Promo codes over the API: another system makes groups, fills them and asks what remains."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from envoi.errors import NotFoundError
from envoi.types import ApiMethod, ApiRequest
from envoi_module_promo_codes import groups
from envoi_module_promo_codes.formats import LONGEST_CODE

MOST_AT_ONCE = 5_000
_PATH = "promo-codes/{group}"


class GroupSet(BaseModel):
    """A group as it is to be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    expires_on: date | None = None


Code = Annotated[str, Field(min_length=1, max_length=LONGEST_CODE, pattern=r"^\S+$")]


class CodesAdded(BaseModel):
    """Codes for a group."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    codes: tuple[Code, ...] = Field(min_length=1, max_length=MOST_AT_ONCE)


def show(request: ApiRequest) -> dict[str, Any]:
    """Return a group with its counts."""
    return _shown(_group(request))


def put(request: ApiRequest) -> dict[str, Any]:
    """Make a group, or change when its codes expire."""
    session, tenant_id, name = request.session, request.tenant_id, request.parts["group"]
    known = groups.find_group(session, tenant_id, name)
    day = request.body.expires_on
    if known is None:
        groups.create_group(session, tenant_id, name, day)
    else:
        groups.change_group(session, tenant_id, known.id, name, day)
    return _shown(_group(request))


def add(request: ApiRequest) -> dict[str, int]:
    """Add codes; those that the company has already stay as they are."""
    group = _group(request)
    added = groups.add_codes(request.session, request.tenant_id, group.id, request.body.codes)
    return {"added": added.added, "known": added.known}


def _group(request: ApiRequest) -> groups.Group:
    found = groups.find_group(request.session, request.tenant_id, request.parts["group"])
    if found is None:
        raise NotFoundError("There is no such group of promo codes.")
    return found


def _shown(group: groups.Group) -> dict[str, Any]:
    day = group.expires_on
    return {
        "name": group.name,
        "expires_on": day.isoformat() if day else None,
        "total": group.total,
        "remaining": group.remaining,
        "issued": group.issued,
        "sent": group.sent,
        "blocked": group.blocked,
    }


METHODS = (
    ApiMethod(
        name="promo_codes_show", label="Promo codes: read a group", path=_PATH, verb="GET", act=show
    ),
    ApiMethod(
        name="promo_codes_put",
        label="Promo codes: make a group",
        path=_PATH,
        verb="PUT",
        body=GroupSet,
        act=put,
    ),
    ApiMethod(
        name="promo_codes_add",
        label="Promo codes: add codes",
        path=f"{_PATH}/codes",
        body=CodesAdded,
        act=add,
    ),
)
