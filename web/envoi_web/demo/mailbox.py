"""The demo's mailbox: what customers would have got; nothing leaves the installation."""

from __future__ import annotations

from flask import Response, request

from envoi.demo.mailbox import count_messages, list_messages, mailbox_folder, read_message
from envoi.webkit import page, permission
from envoi_web.demo.blueprint import demo, demo_settings
from envoi_web.mailings.preview import foreign

SHOWN = 50


@demo.get("/mailbox")
@permission("demo.phone")
def mailbox() -> Response:
    """List the newest messages."""
    folder = mailbox_folder(demo_settings())
    wanted = request.args.get("q", "")
    return page(
        "demo/mailbox.html",
        fragments=("messages",),
        messages=list_messages(folder, wanted, SHOWN),
        total=count_messages(folder),
        wanted=wanted,
        shown=SHOWN,
    )


@demo.get("/mailbox/<message_id>")
@permission("demo.phone")
def message(message_id: str) -> Response:
    """Show one message with its headers."""
    found = read_message(mailbox_folder(demo_settings()), message_id)
    return page("demo/message.html", message=found)


@demo.get("/mailbox/<message_id>/body")
@permission("demo.phone")
def body(message_id: str) -> Response:
    """Give the HTML part, only ever shown inside a sandboxed frame."""
    return foreign(read_message(mailbox_folder(demo_settings()), message_id).html)
