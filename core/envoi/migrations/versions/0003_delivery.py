"""What delivery at scale and working with others need: see the SQL beside this file.

Revision ID: 0003
"""

from pathlib import Path

from alembic import context, op
from sqlalchemy import text

revision = "0003"
down_revision = "0002"

TENANT_TABLES = ("bounce", "inbound", "gateway_day", "circuit", "gateway_minute", "run_traffic")
OPEN_TABLES = ("door", "chore", "instance")


def upgrade() -> None:
    """Make the tables and columns."""
    op.execute(text(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:")))
    role = context.config.attributes["app_role"]
    for table in TENANT_TABLES:
        op.execute(f"SELECT envoi_protect('{table}')")
    for table in (*TENANT_TABLES, *OPEN_TABLES):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON {table} TO {role}")
