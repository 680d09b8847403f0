"""Which page of the help belongs to which page of the product."""

from __future__ import annotations

from collections.abc import Sequence

TOPICS = {
    "audiences": "segments",
    "calendar": "calendar",
    "customers": "customers",
    "exports": "customers",
    "images": "content",
    "imports": "import",
    "mailings.what": "content",
    "mailings.when": "start",
    "mailings": "first-mailing",
    "plugins_page": "settings",
    "policies": "policies",
    "promo_codes": "promo-codes",
    "reports": "report",
    "segments": "segments",
    "settings.bounces": "bounces",
    "settings.change_gateway": "gateways",
    "settings.create_gateway": "gateways",
    "settings.gateway": "gateways",
    "settings.gateways": "gateways",
    "settings.inbound": "bounces",
    "settings.new_gateway": "gateways",
    "settings.try_gateway_of_channel": "gateways",
    "settings": "settings",
    "summary": "first-mailing",
    "templates": "content",
}
"""By endpoint or, where that is not named, by its area."""

CHANNELS = {"sms": "sms", "push": "push", "viber": "cascade"}
"""By the channel whose message is being written; the others' have the editor's page."""


def topic_of(endpoint: str | None) -> str:
    """Return the help's page for an endpoint; the first one where none belongs to it."""
    if endpoint is None:
        return "index"
    return TOPICS.get(endpoint) or TOPICS.get(endpoint.partition(".")[0], "index")


def topic_of_message(channels: Sequence[str]) -> str:
    """Return the help's page for writing to these channels, one after another."""
    if len(channels) > 1:
        return "cascade"
    return CHANNELS.get(channels[0], TOPICS["mailings.what"])
