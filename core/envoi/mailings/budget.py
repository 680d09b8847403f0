"""The budget of a mailing, which may be raised while its run waits for that."""

from __future__ import annotations

from sqlalchemy import func, literal, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.models import Run
from envoi.mailings.changes import checked
from envoi.mailings.models import Mailing
from envoi.mailings.service import get_mailing


def change_budget(session: Session, tenant_id: int, mailing_id: int, budget: int | None) -> Mailing:
    """Set what a mailing may cost, in 1/10,000 of the currency's unit; None is any amount.

    A run takes it on with its next block; one that was paused is resumed by a person.

    Raises:
        ValidationFailedError: It is no sum that a mailing may cost.
    """
    mailing = get_mailing(session, tenant_id, mailing_id, lock=True)
    mailing.budget = checked({"budget": budget})["budget"]
    run = table(Run).c
    settings = func.jsonb_set(run.settings, ["budget"], literal(mailing.budget, JSONB))
    mine = (run.tenant_id == tenant_id, run.id == mailing.run_id)
    session.execute(update(table(Run)).where(*mine).values(settings=settings))
    return mailing
