"""Push messages: see the SQL beside this file.

Revision ID: 0006
"""

from pathlib import Path

from alembic import context, op
from sqlalchemy import text

revision = "0006"
down_revision = "0005"

TENANT_TABLES = ("device", "api_key")


def upgrade() -> None:
    """Make the tables and columns."""
    op.execute(text(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:")))
    role = context.config.attributes["app_role"]
    for table in TENANT_TABLES:
        op.execute(f"SELECT envoi_protect('{table}')")
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON {table} TO {role}")
