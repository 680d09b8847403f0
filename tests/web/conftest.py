"""Fixtures of tests that ask pages without a browser."""

from pages import app, client, employee, signed_in

__all__ = ["app", "client", "employee", "signed_in"]
