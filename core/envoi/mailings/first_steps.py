"""How far a company is from its first mailing."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.db import table
from envoi.delivery.models import Gateway
from envoi.mailings.models import Mailing, MailingState
from envoi.segments.models import Segment


@dataclass(frozen=True, kw_only=True)
class FirstSteps:
    """What is done of what a first mailing needs."""

    gateway: bool
    customers: bool
    segment: bool
    mailing: bool
    started: bool

    @property
    def done(self) -> bool:
        """Whether a mailing has been started once: who has done it needs no guide."""
        return self.started


def first_steps(session: Session, tenant_id: int) -> FirstSteps:
    """Look at what there is; each answer reads one row at most."""
    c = table(Mailing).c
    begun = c.state.in_((MailingState.CREATED, MailingState.LAUNCHED))
    row = session.execute(
        select(
            _any(Gateway, tenant_id).label("gateway"),
            _any(Customer, tenant_id).label("customers"),
            _any(Segment, tenant_id).label("segment"),
            _any(Mailing, tenant_id).label("mailing"),
            _any(Mailing, tenant_id, begun).label("started"),
        )
    ).one()
    return FirstSteps(**row._mapping)


def _any(model: type, tenant_id: int, *more: ColumnElement[bool]) -> ColumnElement[bool]:
    rows = table(model)
    return exists(select(rows.c.tenant_id).where(rows.c.tenant_id == tenant_id, *more))
