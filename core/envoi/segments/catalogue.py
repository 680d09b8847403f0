"""What of a tenant decides which conditions a segment can be built from."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from envoi.customers.models import CustomField, FieldType
from envoi.db import table
from envoi.delivery.models import Run, RunKind
from envoi.mailings.models import Mailing
from envoi.plugins import Plugins
from envoi.receipts.models import Product
from envoi.segments.models import Segment
from envoi.subscriptions.models import MailingCategory
from envoi.target_audiences.models import TargetAudience
from envoi.tenants.service import tenant_settings
from envoi.types import Catalogue, CustomFieldInfo

_MOST_PRODUCT_CATEGORIES = 500


def load_catalogue(session: Session, tenant_id: int, plugins: Plugins) -> Catalogue:
    """Load what conditions can name: fields in their order, everything else by name."""
    visible = plugins.for_tenant(session, tenant_id)
    return Catalogue(
        fields=_fields(session, tenant_id),
        segments=_names(session, tenant_id, Segment),
        audiences=_names(session, tenant_id, TargetAudience),
        mailings=_mailings(session, tenant_id),
        channels={name: spec.label for name, spec in sorted(visible.channels.items())},
        categories=_names(session, tenant_id, MailingCategory),
        product_categories=tuple(session.scalars(_product_categories(tenant_id))),
        currency=tenant_settings(session, tenant_id).currency,
    )


def _fields(session: Session, tenant_id: int) -> dict[str, CustomFieldInfo]:
    field = table(CustomField).c
    rows = session.execute(
        select(field.id, field.code, field.label, field.type, field.choices)
        .where(field.tenant_id == tenant_id)
        .order_by(field.position, field.code)
    )
    return {
        row.code: CustomFieldInfo(
            id=row.id,
            code=row.code,
            label=row.label or row.code,
            type=FieldType(row.type).name.lower(),
            choices=tuple(row.choices),
        )
        for row in rows
    }


def _names(
    session: Session,
    tenant_id: int,
    model: type[Segment | TargetAudience | MailingCategory],
) -> dict[int, str]:
    row = table(model).c
    query = select(row.id, row.name).where(row.tenant_id == tenant_id).order_by(row.name, row.id)
    return {row.id: row.name for row in session.execute(query)}


def _mailings(session: Session, tenant_id: int) -> dict[int, str]:
    """Launched mailings with their days, because copies often share a name."""
    mailing, run = table(Mailing).c, table(Run).c
    query = (
        select(mailing.id, mailing.name, func.max(run.launched_on).label("day"))
        .join(table(Run), (run.tenant_id == mailing.tenant_id) & (run.mailing_id == mailing.id))
        .where(mailing.tenant_id == tenant_id, run.kind == RunKind.MAILING)
        .group_by(mailing.id, mailing.name)
        .order_by(func.max(run.launched_on).desc(), mailing.id.desc())
    )
    return {row.id: f"{row.name}, {row.day}" for row in session.execute(query)}


def _product_categories(tenant_id: int) -> Select[Any]:
    """The first categories by name, found by one look into the index for each of them."""
    product = table(Product).c

    def next_after(category: Any) -> Any:
        return (
            select(func.min(product.category))
            .where(product.tenant_id == tenant_id, product.category > category)
            .scalar_subquery()
        )

    found = select(next_after("").label("category")).cte("categories", recursive=True)
    found = found.union_all(
        select(next_after(found.c.category)).where(found.c.category.isnot(None))
    )
    return (
        select(found.c.category).where(found.c.category.isnot(None)).limit(_MOST_PRODUCT_CATEGORIES)
    )
