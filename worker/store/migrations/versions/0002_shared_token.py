"""The token that the whole fleet shares."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make its table."""
    op.create_table(
        "tokens",
        sa.Column("key", sa.Text(), nullable=False, comment="hash of base URL, client id, scope and the secret's fingerprint"),
        sa.Column(
            "version",
            sa.Integer(),
            nullable=False,
            comment="counts the refreshes, good and bad; tells what another one did meanwhile",
        ),
        sa.Column("used_since", sa.Double(), nullable=False, comment="when these credentials were first used"),
        sa.Column("sealed", sa.LargeBinary(), comment="encrypted with a key that is derived from the client secret"),
        sa.Column("fingerprint", sa.Text(), comment="names the token"),
        sa.Column("obtained_at", sa.Double()),
        sa.Column("refresh_at", sa.Double()),
        sa.Column("expires_at", sa.Double()),
        sa.Column("owner", sa.Text(), comment="of the lease"),
        sa.Column("lease_until", sa.Double()),
        sa.Column("failures", sa.Integer(), nullable=False, comment="in a row"),
        sa.Column("failed_at", sa.Double()),
        sa.Column("retry_at", sa.Double(), comment="nobody tries again before"),
        sa.Column("error_code", sa.Text()),
        sa.Column("error_status", sa.Integer()),
        sa.Column("error", sa.Text(), comment="without a secret"),
        sa.PrimaryKeyConstraint("key"),
    )
