"""What Devino's messages have of their own where they go to social networks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from envoi.types import Outgoing
from envoi_provider_devino.client import DevinoProvider, DevinoSettings

PATH = "/social/messages"


class SocialSettings(DevinoSettings):
    """An account for social networks."""


def social_provider(settings: SocialSettings) -> DevinoProvider:
    """Open an account for social networks."""
    return DevinoProvider(settings, PATH, _entry)


def _entry(message: Outgoing) -> Mapping[str, Any]:
    fields = json.loads(message.payload)
    entry = {"text": fields["text"]}
    return {**entry, "template": fields["template"]} if fields["template"] else entry
