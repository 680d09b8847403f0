"""Who is at the browser, for which company: plain data loaded once a request."""

from __future__ import annotations

from contextlib import AbstractContextManager

from flask import current_app, g
from sqlalchemy.orm import Session

from envoi.accounts.permissions import Role
from envoi.accounts.queries import Company, Employee
from envoi.db import Database
from envoi.errors import ForbiddenError
from envoi.installation import Installation
from envoi.plugins import Plugins
from envoi.settings import Settings

__all__ = ["Company", "Current", "Employee", "Role", "current"]


class Current:
    """Accessors of the request's employee and company; `employee` is None before signing in."""

    @property
    def installation(self) -> Installation:
        """Settings, database, plugins and the queue of this application."""
        installation: Installation = current_app.extensions["envoi"]
        return installation

    @property
    def database(self) -> Database:
        """The database of this application."""
        return self.installation.database

    @property
    def settings(self) -> Settings:
        """The installation's settings."""
        return self.installation.settings

    @property
    def plugins(self) -> Plugins:
        """Every plugin that works; `plugins.for_tenant` narrows them to the company's."""
        return self.installation.plugins

    @property
    def employee(self) -> Employee | None:
        """The signed-in employee, with role, language and theme."""
        employee: Employee | None = g.get("employee")
        return employee

    @property
    def company(self) -> Company:
        """The company (tenant) that the employee works for now."""
        employee = self.employee
        if employee is None:
            raise ForbiddenError("Nobody is signed in, so there is no company. Sign in first.")
        return employee.company

    @property
    def account_id(self) -> int | None:
        """The account of the signed-in employee, as the author of what is made."""
        return self.employee.account_id if self.employee else None

    @property
    def tenant_id(self) -> int:
        """The number of the company."""
        return self.company.id

    def has_plugin(self, name: str) -> bool:
        """Tell whether a plugin is on for the company; nothing is asked of the database."""
        return name in self.plugins.on(self.company.switched)

    def session(self) -> AbstractContextManager[Session]:
        """Open a transaction that sees and changes this company only."""
        return self.database.tenant_session(self.tenant_id)


current = Current()
