"""Push messages as their services want them; for providers of the push channel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from envoi.types import Outgoing


def push_parts(outgoing: Outgoing) -> tuple[dict[str, str], dict[str, str]]:
    """Return what the phone shows (`title`, `body`, `image`), and the data for the app.

    What is empty is left out. The data names our message, by which the app tells what became of it.
    """
    fields = json.loads(outgoing.payload)
    shown = {"title": fields["title"], "body": fields["text"], "image": fields["image"]}
    data = {**fields["data"], "link": fields["link"], "envoi_message": outgoing.key}
    return _filled(shown), _filled(data)


def apple_body(outgoing: Outgoing) -> dict[str, Any]:
    """Write a message for Apple's devices; a picture is put in by the app's own extension."""
    shown, data = push_parts(outgoing)
    image = shown.pop("image", "")
    aps: dict[str, Any] = {"alert": shown, "sound": "default"}
    if not image:
        return {**data, "aps": aps}
    return {**data, "image": image, "aps": {**aps, "mutable-content": 1}}


def apple_headers(outgoing: Outgoing) -> dict[str, str]:
    """Say how a message is shown; the same key takes the place of an earlier one."""
    return {
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-collapse-id": outgoing.key[:64],
    }


def _filled(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value}
