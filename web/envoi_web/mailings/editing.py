"""What the three steps of the editor share."""

from __future__ import annotations

from typing import Any

from flask import Response
from sqlalchemy.orm import Session

from envoi.mailings import service
from envoi.mailings.audience import estimate_mailing, has_source
from envoi.mailings.models import Mailing
from envoi.mailings.status import Status
from envoi.webkit import current, see_other
from envoi_web.mailings.context import (
    crumbs,
    home_url,
    steps,
    volume_data,
)


def not_a_draft(session: Session, mailing: Mailing) -> Response | None:
    """Lead to the page that a mailing has once it is no draft."""
    status = service.current_status(session, mailing)
    return None if status is Status.DRAFT else see_other(home_url(mailing.id, status))


def common(session: Session, mailing: Mailing, here: str) -> dict[str, Any]:
    """Make what the head of every step is given."""
    content = service.variants_of(session, mailing)[0].content
    return {
        "mailing": mailing,
        "content": content,
        "steps": steps(mailing, content, here),
        "volume": volume_data(mailing),
        "crumbs": crumbs(mailing.name),
    }


def count_now(session: Session, mailing: Mailing) -> None:
    """Count the volume again, once there is somebody to count."""
    if has_source(mailing):
        estimate_mailing(session, current.plugins, mailing.tenant_id, mailing.id)
