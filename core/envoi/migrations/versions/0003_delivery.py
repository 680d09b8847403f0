"""What delivery at scale and working with others need: see the SQL beside this file.

Revision ID: 0003
"""

from pathlib import Path

from alembic import op
from sqlalchemy import text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns."""
    op.execute(text(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:")))
