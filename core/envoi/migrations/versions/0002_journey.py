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

_RUN_FIGURES = """
UPDATE run SET recipients = m.recipients, sent = m.sent, delivered = m.delivered,
    failed = m.failed, receipts = coalesce(a.receipts, 0), amount = coalesce(a.amount, 0)
FROM (
    SELECT tenant_id, run_id, count(*) FILTER (WHERE state > 2) AS recipients,
        count(*) FILTER (WHERE state = 5) AS sent,
        count(*) FILTER (WHERE state = 5 AND bounced_at IS NULL) AS delivered,
        count(*) FILTER (WHERE state = 6) AS failed
    FROM message GROUP BY tenant_id, run_id
) AS m LEFT JOIN (
    SELECT tenant_id, run_id, count(*) AS receipts, sum(amount) AS amount
    FROM attribution GROUP BY tenant_id, run_id
) AS a USING (tenant_id, run_id)
WHERE run.tenant_id = m.tenant_id AND run.id = m.run_id AND run.finished_at IS NOT NULL
"""
"""What ended runs did, counted once; from now on the figures are kept."""


def upgrade() -> None:
    """Make the tables and columns; every segment's present state becomes a version."""
    # Adding a foreign key reads the rows, which under FORCE no owner may.
    with unrestricted(op.get_bind(), "mailing", "segment", "run", "message", "attribution"):
        op.execute(text(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:")))
        op.execute(
            "INSERT INTO segment_version (tenant_id, segment_id, version, name, tree, saved_by,"
            " saved_at) SELECT tenant_id, id, version, name, tree, created_by, updated_at"
            " FROM segment"
        )
        op.execute(_RUN_FIGURES)
    role = context.config.attributes["app_role"]
    for table in TENANT_TABLES:
        op.execute(f"SELECT envoi_protect('{table}')")
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON {table} TO {role}")
