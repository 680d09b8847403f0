"""What Devino's messages have of their own where they go to social networks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from envoi.types import Outgoing
from envoi_provider_devino.client import DevinoAccount


class SocialAccount(DevinoAccount):
    """An account for social networks."""

    path = "/social/messages"

    def entry(self, message: Outgoing) -> Mapping[str, Any]:
        """Write the text, and its approved template where it is named."""
        fields = json.loads(message.payload)
        return {name: fields[name] for name in ("text", "template") if fields[name]}
