"""What parts, devices and reports of messages need: see the SQL beside this file.

Revision ID: 0004
"""

from pathlib import Path

from alembic import context, op
from sqlalchemy import text

revision = "0004"
down_revision = "0003"

TENANT_TABLES = ("submission", "run_cost", "waiting_report", "receiver")


def upgrade() -> None:
    """Make the tables and columns."""
    op.execute(text(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:")))
    role = context.config.attributes["app_role"]
    for table in TENANT_TABLES:
        op.execute(f"SELECT envoi_protect('{table}')")
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON {table} TO {role}")
