"""What plugins are given to hand reports over with."""

from __future__ import annotations

from envoi.db import Database
from envoi.errors import TemporaryProviderError
from envoi.feedback.intake import Intake
from envoi.feedback.keeping import AWAY
from envoi.feedback.models import Door
from envoi.tracking.tokens import TokenSigner
from envoi.types import DeliveryEvent, Report


def reporter(database: Database, signer: TokenSigner, tenant_id: int, gateway_id: int) -> Report:
    """Make the function by which a gateway's connection hands its reports over."""
    intake = Intake(database, signer)

    def report(event: DeliveryEvent, raw: bytes) -> None:
        try:
            intake.report(raw, Door.CONNECTION, tenant_id, gateway_id, event)
        except AWAY as error:
            raise TemporaryProviderError(
                "The report cannot be written because the database is away. Send it again."
            ) from error

    return report
