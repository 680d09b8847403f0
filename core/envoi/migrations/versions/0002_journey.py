"""What the marketer's journey needs: audiences, a library, exports, versions and settings.

Revision ID: 0002
"""

from pathlib import Path

from alembic import context, op
from sqlalchemy import text

from envoi.schema import unrestricted

revision = "0002"
down_revision = "0001"

TENANT_TABLES = (
    *("audience_member", "export", "import_mapping", "segment_version"),
    *("stored_file", "target_audience", "template", "watcher_group"),
)


def upgrade() -> None:
    """Make the tables and columns; every segment's present state becomes a version."""
    # Adding a foreign key reads the rows, which under FORCE no owner may.
    with unrestricted(op.get_bind(), "mailing", "segment"):
        op.execute(text(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:")))
        op.execute(
            "INSERT INTO segment_version (tenant_id, segment_id, version, name, tree, saved_by,"
            " saved_at) SELECT tenant_id, id, version, name, tree, created_by, updated_at"
            " FROM segment"
        )
    role = context.config.attributes["app_role"]
    for table in TENANT_TABLES:
        op.execute(f"SELECT envoi_protect('{table}')")
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON {table} TO {role}")
