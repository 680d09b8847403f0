"""Mailing categories: made by hand, changed, and taken out of use."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.errors import ConflictError, NotFoundError, Problem, ValidationFailedError
from envoi.mailings.models import Mailing, MailingState
from envoi.subscriptions.models import MailingCategory

_CODE = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


class CategoryChanges(BaseModel):
    """What a person fills in; the code is what interfaces and imports name it by."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    code: str
    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    description: Annotated[str, StringConstraints(max_length=500)] = ""
    exempt: bool = False


def get_category(session: Session, tenant_id: int, category_id: int) -> MailingCategory:
    """Return a category, or raise `NotFoundError`."""
    found = session.get(MailingCategory, (tenant_id, category_id))
    if found is None or found.hidden:
        raise NotFoundError("There is no such mailing category. It may have been deleted.")
    return found


def save_category(
    session: Session, tenant_id: int, category_id: int | None, **given: object
) -> MailingCategory:
    """Make a category, or change one (`category_id`); `given` are fields of `CategoryChanges`."""
    category = get_category(session, tenant_id, category_id) if category_id is not None else None
    changes = _checked(session, tenant_id, category_id, given)
    if category is None:
        category = MailingCategory(tenant_id=tenant_id, code=changes.code)
        session.add(category)
    for name, value in changes.model_dump().items():
        setattr(category, name, value)
    session.flush()
    return category


def delete_category(session: Session, tenant_id: int, category_id: int) -> None:
    """Take a category out of use; what customers decided about it stays on record."""
    category = get_category(session, tenant_id, category_id)
    c = table(Mailing).c
    waiting = c.state.in_((MailingState.DRAFT, MailingState.CREATED))
    mine = (c.tenant_id == tenant_id, c.category_id == category_id, waiting)
    used = session.scalar(select(func.count()).where(*mine))
    if used:
        raise ConflictError(
            f"The category {category.name} is chosen in {used} mailings that have not started."
            " Choose another one there, then delete it."
        )
    category.hidden = True
    category.code = f"{category.code}~{category.id}"
    session.flush()


def _checked(
    session: Session, tenant_id: int, category_id: int | None, given: dict[str, object]
) -> CategoryChanges:
    try:
        changes = CategoryChanges.model_validate(given)
    except ValidationError as error:
        raise ValidationFailedError(
            [Problem(str(e["loc"][0]), _SENTENCES[str(e["loc"][0])]) for e in error.errors()]
        ) from None
    if not _CODE.fullmatch(changes.code):
        raise ValidationFailedError([Problem("code", _SENTENCES["code"])])
    c = table(MailingCategory).c
    taken = session.scalar(select(c.id).where(c.tenant_id == tenant_id, c.code == changes.code))
    if taken is not None and taken != category_id:
        raise ValidationFailedError(
            [Problem("code", "There is already a category with this code. Enter another one.")]
        )
    return changes


_SENTENCES = {
    "code": "Use 1 to 40 of a-z, 0-9, _ and -, beginning with a letter or digit.",
    "name": "Enter a name of 1 to 100 characters.",
    "description": "The description can have at most 500 characters.",
}
