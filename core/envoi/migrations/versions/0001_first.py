"""The first schema.

Revision ID: 0001
"""

from pathlib import Path

from alembic import context, op
from sqlalchemy import text

revision = "0001"
down_revision = None

TENANT_TABLES = (
    *("attribution", "consent_log", "custom_field", "customer", "customer_token"),
    *("customer_value", "enabled_plugin", "event_counter", "gateway", "import", "link"),
    *("mailing", "mailing_category", "message", "message_event", "opt_out", "policy"),
    *("product", "receipt", "receipt_line", "run", "run_block", "segment", "suppression"),
    *("tenant_settings", "variant"),
)
OWN_ROWS = " OR account_id = nullif(current_setting('envoi.account_id', true), '')::int"


def upgrade() -> None:
    """Make tables, functions, the application role, its grants and the policies."""
    op.execute(text(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:")))
    role = context.config.attributes["app_role"]
    _make_role(role)
    for table in TENANT_TABLES:
        op.execute(f"SELECT envoi_protect('{table}')")
        rights = "SELECT, INSERT" if table == "consent_log" else "SELECT, INSERT, UPDATE, DELETE"
        op.execute(f"GRANT {rights}, MAINTAIN ON {table} TO {role}")
    op.execute(text("SELECT envoi_protect('membership', :own)").bindparams(own=OWN_ROWS))
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON membership TO {role}")
    op.execute(f"GRANT SELECT ON tenant, account, time_zone, sender TO {role}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON due_work, inbound_route TO {role}")
    op.execute(f"GRANT EXECUTE ON FUNCTION envoi_make_month(text, date) TO {role}")


def _make_role(role: str) -> None:
    """Make the application role, unless the operator has; several databases may share it."""
    op.execute(
        f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN"
        f" CREATE ROLE {role} NOLOGIN; END IF;"
        " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    )
    op.execute(
        f"DO $$ BEGIN IF NOT pg_has_role(current_user, '{role}', 'SET') THEN"
        f" GRANT {role} TO CURRENT_USER WITH SET TRUE, INHERIT FALSE; END IF; END $$"
    )
    op.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
