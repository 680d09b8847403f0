"""Fixtures of tests that ask pages without a browser."""

from drafts import desk, draft, gateway_id, segment_id
from pages import app, client, employee, signed_in

__all__ = [
    "app",
    "client",
    "desk",
    "draft",
    "employee",
    "gateway_id",
    "segment_id",
    "signed_in",
]
