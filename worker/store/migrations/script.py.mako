"""${message}.

Migrations only add: the release before this one runs on the result. A new column is nullable or has a server default.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "${up_revision}"
down_revision = "${down_revision}"


def upgrade() -> None:
    """Add to the schema."""
