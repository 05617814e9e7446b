"""Watches, who wants them, and the hints of webhooks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make their tables."""
    op.create_table(
        "watches",
        sa.Column("key", sa.Text(), nullable=False, comment="JSON [base URL, order id]"),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("customer_code", sa.Text(), nullable=False, comment="empty while it is not known"),
        sa.Column("po_number", sa.Text(), nullable=False, comment="empty while it is not known"),
        sa.Column(
            "envelope", sa.Text(), nullable=False, comment="JSON: correlation id, source and trace of the command that brought it"
        ),
        sa.Column("sequence", sa.Integer(), nullable=False, comment="of its last fact"),
        sa.Column("status", sa.Text(), comment="of the order, in SIPS' words"),
        sa.Column("status_seen_at", sa.Double()),
        sa.Column("deliveries", sa.Text(), comment="JSON: shipment number to status and dates"),
        sa.Column("deliveries_seen_at", sa.Double()),
        sa.Column("invoices", sa.Text(), comment="JSON: numbers of its invoices"),
        sa.Column("invoices_seen_at", sa.Double()),
        sa.Column("due", sa.Double(), comment="of the next look at its status; null = nobody watches that"),
        sa.Column(
            "created_at", sa.Double(), nullable=False, comment="when it was submitted here, else when it was watched first"
        ),
        sa.Column("ended_at", sa.Double(), comment="when the last subscription ended; null = it is watched"),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("watches_due", "watches", ["base_url", "customer_code", "due"])
    op.create_index("watches_ended_at", "watches", ["ended_at"])
    op.create_table(
        "subscriptions",
        sa.Column("key", sa.Text(), nullable=False, comment="of the watch"),
        sa.Column("kind", sa.Text(), nullable=False, comment="order or delivery"),
        sa.Column("source", sa.Text(), nullable=False, comment="of the command that asked for it"),
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column("interval", sa.Double(), comment="seconds between two looks; null = as the expected day has it"),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("terminal", sa.Text(), comment="JSON: statuses that end it; null = those of the settings"),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key", "kind", "source"),
    )
    op.create_table(
        "hints",
        sa.Column("id", sa.Text(), nullable=False, comment="hash of type, id, status, time and references"),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False, comment="this and the next two as far as it names them, else empty"),
        sa.Column("po_number", sa.Text(), nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("time", sa.Text(), nullable=False, comment="SIPS' own, as it came"),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.Column("handled_at", sa.Double(), comment="null = its order is not known yet"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("hints_order_id", "hints", ["order_id"])
    op.create_index("hints_transaction_id", "hints", ["transaction_id"])
    op.create_index("hints_received_at", "hints", ["received_at"])
