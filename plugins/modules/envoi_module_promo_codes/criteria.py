"""The condition of segments: who was issued a code of a group."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from envoi.sql import CustomerIds, Membership, Outside, SourceColumns, select
from envoi.types import Catalogue, Criterion, Input, InputKind, Operator, SegmentSourceSpec
from envoi_module_promo_codes.tables import CODES, GROUPS

_GROUP = Input(name="group", label="Group", kind=InputKind.TEXT)


class IssuedSettings(BaseModel):
    """A group of codes by its name, and whether customers were issued one of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    criterion: str = "promo_code"
    operator: str
    group: str = Field(min_length=1)


def criteria(catalogue: Catalogue) -> Sequence[Criterion]:  # noqa: ARG001 (the same for all)
    """Offer the condition."""
    issued = Operator(
        name="issued", label="issued of the group", phrase="issued of {group}", inputs=(_GROUP,)
    )
    never = Operator(
        name="not_issued",
        label="never issued of the group",
        phrase="never issued of {group}",
        inputs=(_GROUP,),
    )
    return [Criterion(name="promo_code", label="Promo code", operators=(issued, never))]


def select_issued(settings: IssuedSettings, columns: SourceColumns) -> Membership:
    """Return who has a code of the group, or everybody else."""
    ids: CustomerIds = (
        select(CODES.c.customer_id)
        .join_from(CODES, GROUPS, GROUPS.c.id == CODES.c.group_id)
        .where(CODES.c.tenant_id == columns.tenant_id, GROUPS.c.tenant_id == columns.tenant_id)
        .where(GROUPS.c.name == settings.group, CODES.c.customer_id.is_not(None))
    )
    return ids if settings.operator == "issued" else Outside(ids)


ISSUED = SegmentSourceSpec(
    name="promo_codes",
    label="Promo codes",
    settings=IssuedSettings,
    select=select_issued,
    criteria=criteria,
)
