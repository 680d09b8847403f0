"""The codes that a customer was given, for the customer's page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from envoi.data import Session, select
from envoi.types import CustomerPanel
from envoi_module_promo_codes.tables import CODES, GROUPS

MOST_SHOWN = 50


def codes_of(session: Session, tenant_id: int, customer_id: int) -> Sequence[Any]:
    """Return the customer's latest codes with their groups, also those of deleted groups."""
    same = (GROUPS.c.tenant_id == CODES.c.tenant_id) & (GROUPS.c.id == CODES.c.group_id)
    query = (
        select(CODES.c.code, CODES.c.issued_at, CODES.c.sent_at, GROUPS.c.name)
        .join_from(CODES, GROUPS, same)
        .where(CODES.c.tenant_id == tenant_id, CODES.c.customer_id == customer_id)
        .order_by(CODES.c.issued_at.desc(), CODES.c.id.desc())
    )
    return session.execute(query.limit(MOST_SHOWN)).all()


ISSUED_CODES = CustomerPanel(
    name="promo_codes",
    label="Promo codes",
    template="promo_codes/customer.html",
    load=codes_of,
    permission="promo.view",
)
