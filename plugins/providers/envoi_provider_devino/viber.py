"""What Devino's messages have of their own where they go to Viber."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from envoi.types import Outgoing
from envoi_provider_devino.client import DevinoAccount

SHORTEST_LIFE, LONGEST_LIFE = 15, 1_209_600
"""In seconds; what is shorter or longer is refused."""
_PRIORITY = {"promotional": 1, "transactional": 3}
_NAMES = {"text": "text", "image": "image", "button": "caption", "url": "action"}


class ViberAccount(DevinoAccount):
    """An account for Viber."""

    path = "/viber/messages"

    def entry(self, message: Outgoing) -> Mapping[str, Any]:
        """Write what the message shows, and what kind of traffic it is."""
        fields = json.loads(message.payload)
        entry: dict[str, Any] = {
            theirs: fields[ours] for ours, theirs in _NAMES.items() if fields[ours]
        }
        entry["priority"] = _PRIORITY[fields["category"]]
        if message.lifetime_seconds:
            entry["validity"] = min(max(message.lifetime_seconds, SHORTEST_LIFE), LONGEST_LIFE)
        return entry
