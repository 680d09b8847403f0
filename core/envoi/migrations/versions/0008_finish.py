"""What providers, plugins and channels still lacked: see the SQL beside this file.

Revision ID: 0008
"""

from pathlib import Path

from alembic import context, op
from sqlalchemy import text

revision = "0008"
down_revision = "0007"

TENANT_TABLES: tuple[str, ...] = ("plugin_settings", "handed_over", "plugin_error", "reply")


def upgrade() -> None:
    """Make the tables and columns."""
    op.execute(text(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:")))
    role = context.config.attributes["app_role"]
    for table in TENANT_TABLES:
        op.execute(f"SELECT envoi_protect('{table}')")
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON {table} TO {role}")
