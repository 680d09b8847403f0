"""Reads what a provider reports to the gateway's webhook, as the settings describe it."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256

from envoi.types import DeliveryEvent, EventType, WebhookRequest
from envoi_provider_http.filling import found_at, tree_of
from envoi_provider_http.settings import HttpSettings, Proof


def read_report(settings: HttpSettings, request: WebhookRequest) -> Sequence[DeliveryEvent]:
    """Read one report; several are a list in JSON.

    Raises:
        ForgedWebhookError: It does not show the secret.
        ValueError: It names no message, or no state.
    """
    _require_genuine(settings, request)
    tree = tree_of(request.body) or dict(request.query)
    entries = tree if isinstance(tree, list) else [tree]
    text = request.body.decode(errors="replace")
    return [_event(settings, entry, text) for entry in entries]


def _require_genuine(settings: HttpSettings, request: WebhookRequest) -> None:
    secret = settings.report_secret.get_secret_value()
    shown = request.headers.get(settings.report_header.lower(), "")
    expected = secret
    if settings.report_proof is Proof.QUERY:
        shown = request.query.get("secret", "")
    elif settings.report_proof is Proof.HMAC:
        expected = hmac.new(secret.encode(), request.body, sha256).hexdigest()
        shown = shown.removeprefix("sha256=").lower()
    request.require_secret(shown, expected if secret else "")


def _event(settings: HttpSettings, entry: object, text: str) -> DeliveryEvent:
    def at(place: str) -> str:
        return (found_at(place, entry, text) or "") if place else ""

    reference, key = at(settings.report_id_at), at(settings.report_key_at)
    word = at(settings.report_status_at)
    phone, said = at(settings.reply_phone_at), at(settings.reply_text_at)
    if phone and said and not word:
        return DeliveryEvent(
            type=EventType.REPLIED,
            occurred_at=datetime.now(UTC),
            recipient=phone,
            text=said,
            raw=text[:2_000],
        )
    if not (reference or key) or not word:
        raise ValueError("The report names no message or no state where the settings look.")
    meanings = {known.casefold(): means for known, means in settings.report_words.items()}
    return DeliveryEvent(
        type=meanings.get(word.casefold(), EventType.UNKNOWN).value,
        occurred_at=datetime.now(UTC),
        message_key=key,
        reference=reference,
        status=word[:100],
        raw=text[:2_000],
    )
