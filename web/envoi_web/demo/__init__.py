"""The demo's mailbox and its virtual phone."""

from envoi_web.demo import mailbox, phone, services  # noqa: F401 (they add their routes)
from envoi_web.demo.blueprint import demo

__all__ = ["demo"]
