"""The store's identity, orders and their events, timers, and the control looks.

Migrations only add: the release before this one runs on the result. A new column is nullable or has a server default.
"""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table, and say which store this is."""
    op.create_table(
        "store",
        sa.Column("id", sa.Text(), nullable=False, comment="UUID of this store"),
        sa.Column("schema_version", sa.Integer(), nullable=False, comment="number of the newest migration that was applied"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "orders",
        sa.Column("key", sa.Text(), nullable=False, comment="JSON [base URL, source, idempotency key]"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column(
            "row_version", sa.Integer(), nullable=False, comment="of the rules that wrote the row; a newer one is left alone"
        ),
        sa.Column("fingerprint", sa.Text(), nullable=False, comment="rule's version and hash of the canonical payload"),
        sa.Column("resubmitted", sa.Boolean(), nullable=False, comment="an earlier run may have been executed"),
        sa.Column("owner", sa.Text(), comment="of the lease"),
        sa.Column("lease_until", sa.Double()),
        sa.Column("sent_at", sa.Double(), comment="when the first claim of this run was made"),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column("command_source", sa.Text(), nullable=False),
        sa.Column("command_type", sa.Text(), nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False, comment="JSON: correlation id, trace, reply address and the like"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("customer_code", sa.Text(), nullable=False),
        sa.Column("branch_code", sa.Text(), nullable=False),
        sa.Column("po_number", sa.Text(), nullable=False, comment="as SIPS knows it"),
        sa.Column("po_claim", sa.Text(), comment="JSON [base URL, customer, PO number] while the number is taken"),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("transaction_date", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), comment="JSON: the whole request; emptied after the order ended"),
        sa.Column("order_id", sa.Text()),
        sa.Column("queue_id", sa.Text()),
        sa.Column("looks", sa.Integer(), nullable=False, comment="counted looks at SIPS since sent_at"),
        sa.Column("trouble_at", sa.Double(), comment="when SIPS last failed to answer a look"),
        sa.Column("last_error", sa.Text(), comment="code and text without payload values"),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double()),
        sa.Column("resolution", sa.Text(), comment="JSON: what a person decided, who and when"),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("orders_command_id", "orders", ["command_id"])
    op.create_index("orders_order_id", "orders", ["order_id"])
    op.create_index("orders_po_claim", "orders", ["po_claim"], unique=True)
    op.create_index("orders_po_number", "orders", ["base_url", "customer_code", "po_number"])
    op.create_index("orders_state", "orders", ["state", "updated_at"])
    op.create_table(
        "events",
        sa.Column("id", sa.Text(), nullable=False, comment="the CloudEvent's"),
        sa.Column("key", sa.Text(), nullable=False, comment="of the order"),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False, comment="the CloudEvent as it is published"),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("published_at", sa.Double(), comment="when RabbitMQ was known to have it"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("events_key", "events", ["key"])
    op.create_table(
        "timers",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False, comment="what it is about: an order's key, a watch's"),
        sa.Column(
            "due", sa.Double(), nullable=False, comment="a claim moves it on, so that others leave the timer alone meanwhile"
        ),
        sa.Column(
            "claims", sa.BigInteger(), nullable=False, comment="how often it was claimed; tells a late tick from the current one"
        ),
        sa.PrimaryKeyConstraint("kind", "ref"),
    )
    op.create_index("timers_due", "timers", ["due"])
    op.create_table(
        "controls",
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("found_at", sa.Double(), nullable=False, comment="when a known order was found and an invented one was not"),
        sa.Column("po_number", sa.Text(), nullable=False, comment="of the known order"),
        sa.PrimaryKeyConstraint("base_url"),
    )
    store = sa.table("store", sa.column("id", sa.Text()), sa.column("schema_version", sa.Integer()))
    op.bulk_insert(store, [{"id": str(uuid.uuid4()), "schema_version": 1}])
