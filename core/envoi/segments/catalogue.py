"""What of a tenant decides which conditions a segment can be built from."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.customers.models import CustomField, FieldType
from envoi.db import table
from envoi.segments.models import Segment
from envoi.tenants.service import tenant_settings
from envoi.types import Catalogue, CustomFieldInfo


def load_catalogue(session: Session, tenant_id: int) -> Catalogue:
    """Load custom fields in their order, segments by name, and the currency."""
    field, segment = table(CustomField).c, table(Segment).c
    fields = session.execute(
        select(*(field[n] for n in ("id", "code", "label", "type", "choices", "group_label")))
        .where(field.tenant_id == tenant_id)
        .order_by(field.position, field.code)
    )
    segments = session.execute(
        select(segment.id, segment.name)
        .where(segment.tenant_id == tenant_id)
        .order_by(segment.name, segment.id)
    )
    return Catalogue(
        fields={
            row.code: CustomFieldInfo(
                id=row.id,
                code=row.code,
                label=row.label or row.code,
                type=FieldType(row.type).name.lower(),
                choices=tuple(row.choices),
                group=row.group_label,
            )
            for row in fields
        },
        segments={row.id: row.name for row in segments},
        currency=tenant_settings(session, tenant_id).currency,
    )
