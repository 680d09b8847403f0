"""Who is at the browser, for which company: plain data loaded once a request."""

from __future__ import annotations

from contextlib import AbstractContextManager

from flask import current_app, g
from sqlalchemy.orm import Session

from envoi.accounts.permissions import Role
from envoi.accounts.queries import Company, Employee
from envoi.db import Database
from envoi.errors import ForbiddenError

__all__ = ["Company", "Current", "Employee", "Role", "current"]


class Current:
    """Accessors of the request's employee and company; `employee` is None before signing in."""

    @property
    def database(self) -> Database:
        """The database of this application."""
        database: Database = current_app.extensions["envoi.database"]
        return database

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
    def tenant_id(self) -> int:
        """The number of the company."""
        return self.company.id

    def session(self) -> AbstractContextManager[Session]:
        """Open a transaction that sees and changes this company only."""
        return self.database.tenant_session(self.tenant_id)


current = Current()
